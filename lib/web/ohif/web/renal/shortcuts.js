// The keyboard: one table for what keys do and for what the panel lists.
import { el } from './dom.js';
import * as cases from './case.js';

const pick = number => panel => cases.current.structures[number] && panel.choose(cases.current.structures[number]);
const TABLE = [
  { keys: ['p'], shown: 'P', does: 'propose', run: panel => panel.propose() },
  { keys: ['1'], shown: '1', does: 'draw kidney', run: pick(0) },
  { keys: ['2'], shown: '2', does: 'draw mass', run: pick(1) },
  { keys: ['3'], shown: '3', does: 'draw cyst', run: pick(2) },
  { keys: ['b'], shown: 'B', does: 'brush', run: panel => panel.use('brush') },
  { keys: ['e'], shown: 'E', does: 'eraser', run: panel => panel.use('eraser') },
  { keys: ['l', 'escape'], shown: 'L, Esc', does: 'look: window and level', run: panel => panel.use('look') },
  { keys: ['+', '='], shown: '+', does: 'click on what belongs', run: panel => panel.buttons.add.disabled || panel.use('add') },
  { keys: ['-'], shown: '-', does: 'click on what does not', run: panel => panel.buttons.away.disabled || panel.use('away') },
  { keys: ['['], shown: '[', does: 'smaller brush', run: panel => panel.resize(-1) },
  { keys: [']'], shown: ']', does: 'larger brush', run: panel => panel.resize(1) },
  { keys: ['z', 'ctrl+z'], shown: 'Z, Ctrl Z', does: 'undo', run: panel => panel.buttons.undo.click() },
  { keys: ['y', 'ctrl+y', 'ctrl+shift+z'], shown: 'Y, Ctrl Y', does: 'redo', run: panel => panel.buttons.redo.click() },
  { keys: ['h'], shown: 'H', does: 'hide or show labels', run: panel => panel.buttons.hide.click() },
  { keys: ['o'], shown: 'O', does: 'outlines alone', run: panel => panel.buttons.outline.click() },
  { keys: ['m'], shown: 'M', does: 'go to the next mass', run: panel => panel.nextMass() },
  { keys: ['ctrl+enter'], shown: 'Ctrl Enter', does: 'submit', run: panel => panel.submit() },
  { keys: ['n'], shown: 'N', does: 'next case', run: panel => panel.next() },
  { keys: ['k'], shown: 'K', does: 'skip', run: panel => panel.skip() },
];
const PRESSES = new Set(['undo', 'redo', 'hide or show labels', 'outlines alone']); // buttons, which run by themselves

export const list = () => el('dl.keys', {}, TABLE.map(row => [el('dt', {}, el('kbd', {}, row.shown)), el('dd', {}, row.does)]).flat());

/** Keys work everywhere but where a person types; OHIF's own do not get them. */
export function listen(panel) {
  const pressed = event => {
    const typing = event.target.closest?.('input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, dialog, [contenteditable]');
    if (typing || event.altKey || document.querySelector('dialog[open]')) return;
    const held = [event.ctrlKey || event.metaKey ? 'ctrl' : '', event.shiftKey && event.key.length > 1 | event.ctrlKey ? 'shift' : ''].filter(Boolean);
    const row = TABLE.find(({ keys }) => keys.includes([...held, event.key.toLowerCase()].join('+')));
    if (!row) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (PRESSES.has(row.does)) row.run(panel);
    else panel.run(() => row.run(panel));
  };
  window.addEventListener('keydown', pressed, true);
  return () => window.removeEventListener('keydown', pressed, true);
}
