// Elements without HTML text: whatever a name holds, it stays text.

/** el('button.primary', {title: 'x', onclick: f}, 'Text', other elements) */
export function el(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split('.');
  const made = document.createElement(tag);
  made.classList.add(...classes);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children.flat().filter(child => child !== null && child !== undefined));
  return made;
}

/** A question over the page; the answer is what its form holds, or null when it was given up. */
export function question(title, fields, actions) {
  return new Promise(resolve => {
    const buttons = actions.map(([value, text, primary]) => el(primary ? 'button.primary' : 'button', { type: 'submit', value }, text));
    const cancel = el('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel');
    const form = el('form', { method: 'dialog' }, el('h2', { id: 'renal-question' }, title), fields, el('div.r-row', {}, buttons, cancel));
    const dialog = el('dialog.renal', { 'aria-labelledby': 'renal-question' }, form);
    let answer = null;
    form.addEventListener('submit', event => (answer = { action: event.submitter?.value, ...Object.fromEntries(new FormData(form)) }));
    dialog.addEventListener('keydown', event => event.stopPropagation());
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
