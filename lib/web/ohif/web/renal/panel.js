// The annotation panel: the case, its proposal, its masses, tools to correct, and the way to the next case.
import * as cases from './case.js';
import { el, question } from './dom.js';
import * as server from './server.js';
import * as shortcuts from './shortcuts.js';
import * as viewer from './viewer.js';

const NEAR_MM = 15; // a mass of the label is the proposal's when their centres are no farther apart
const MEASURE_AFTER_MS = 600;
const SKIP_REASONS = ['motion artefacts', 'wrong sequence', 'kidneys not covered', 'cannot decide'];
const TOOLS = { brush: 'CircularBrush', eraser: 'CircularEraser', look: 'WindowLevel', add: 'WindowLevel', away: 'WindowLevel' };

class RenalPanel extends HTMLElement {
  connectedCallback() {
    this.structure = cases.current?.structures.find(row => row.name === 'mass') ?? null;
    this.tool = 'look';
    this.round = null; // clicks since the label was last changed otherwise: {image, start, clicks}
    this.classList.add('renal');
    this.build();
    const stops = [
      viewer.stayUpright(),
      viewer.onActive(() => this.follow()),
      viewer.onChange(() => this.changed()),
      viewer.onClick(found => this.clicked(found)),
      viewer.onPress(() => this.holdStructure()),
      shortcuts.listen(this),
    ];
    const leaving = event => cases.unsaved().length && event.preventDefault();
    window.addEventListener('beforeunload', leaving);
    this.stop = () => (window.removeEventListener('beforeunload', leaving), stops.forEach(stop => stop()));
    this.start();
  }

  disconnectedCallback() {
    this.stop?.();
  }

  // ---- what is there -----------------------------------------------------------------------------------------------
  build() {
    this.buttons = {};
    const part = (name, attributes = {}) => (this[name] = el('div', attributes));
    const button = (id, text, key, run, kind = 'button') => {
      const title = key ? `${text} (${key})` : text;
      return (this.buttons[id] = el(kind, { type: 'button', id: `renal-${id}`, title, onclick: () => this.run(run) }, text, key ? el('kbd', {}, key) : null));
    };
    this.size = el('input', { type: 'range', id: 'renal-size', min: 1, max: 25, value: 5, oninput: () => this.resize(0) });
    this.sizeText = el('output', { for: 'renal-size' }, '5 mm');
    this.structures = el('div.r-row.structures', { role: 'radiogroup', 'aria-label': 'Structure' }, (cases.current?.structures ?? []).map(row => this.structureButton(row)));
    this.drawn = el('div.r-row.structures', { role: 'group', 'aria-label': 'What this label covers' }, el('span.quiet', {}, 'Covers'), (cases.current?.structures ?? []).map(row =>
      el('label.check', {}, el('input', { type: 'checkbox', name: row.name, checked: true }), row.name)));
    this.append(
      el('section', { 'aria-label': 'Case' }, part('about')),
      el('section', { 'aria-label': 'Proposal' },
        el('div.r-row', {}, button('propose', 'Propose', 'P', () => this.propose(), 'button.primary'), part('told', { class: 'told' }))),
      el('section', { 'aria-label': 'Masses' }, part('masses')),
      el('section', { 'aria-label': 'Correct' }, this.structures,
        el('div.r-row', { role: 'group', 'aria-label': 'Tools' },
          button('brush', 'Brush', 'B', () => this.use('brush')), button('eraser', 'Eraser', 'E', () => this.use('eraser')),
          button('look', 'Look', 'L', () => this.use('look'))),
        el('div.r-row', { role: 'group', 'aria-label': 'Clicks' },
          button('add', 'Click to add', '+', () => this.use('add')), button('away', 'Click to remove', '-', () => this.use('away'))),
        el('label.r-row', { for: 'renal-size' }, 'Brush', this.size, this.sizeText),
        el('div.r-row', {}, button('undo', 'Undo', 'Z', () => viewer.undo()), button('redo', 'Redo', 'Y', () => viewer.redo()),
          button('hide', 'Hide', 'H', () => this.press('hide', viewer.toggleHidden())), button('outline', 'Outline', 'O', () => this.press('outline', viewer.toggleOutlined())))),
      el('section.end', { 'aria-label': 'Finish' },
        part('status', { role: 'status', 'aria-live': 'polite', class: 'status', id: 'renal-status' }),
        this.drawn,
        el('div.r-row', {}, button('submit', 'Submit', 'Ctrl ⏎', () => this.submit(), 'button.primary'),
          button('next', 'Next', 'N', () => this.next()), button('skip', 'Skip …', 'K', () => this.skip()))),
      el('details', {}, el('summary', {}, 'All shortcuts, order of cases'), this.order(), shortcuts.list())
    );
    this.show();
  }

  structureButton(row) {
    const number = cases.current.structures.indexOf(row) + 1;
    const colour = el('i.colour');
    colour.style.backgroundColor = `rgb(${row.colour.join(',')})`;
    return el('button', { type: 'button', role: 'radio', 'aria-checked': String(row === this.structure), id: `renal-structure-${row.name}`,
      title: `${row.title} (${number})`, onclick: () => this.run(() => this.choose(row)) }, colour, row.name, el('kbd', {}, number));
  }

  /** In which order cases come. */
  order() {
    const options = (cases.current?.strategies ?? []).map(row => el('option', { value: row.name }, row.title));
    const list = el('select', { id: 'renal-order', onchange: () => server.chooseStrategy(list.value) }, options);
    server.strategy().then(name => (list.value = name), () => {});
    return el('label.r-row', {}, 'Next case:', list);
  }

  // ---- what happens ------------------------------------------------------------------------------------------------
  async start() {
    if (cases.problem) return this.say(cases.problem, 'bad');
    const wanted = cases.entry(cases.current.wanted);
    for (let tries = 0; tries < 600 && !viewer.ready(wanted); tries += 1) await new Promise(done => setTimeout(done, 100));
    if (!this.isConnected) return;
    viewer.activate(wanted);
    await new Promise(done => setTimeout(done, 50));
    await this.run(() => this.open(wanted));
  }

  /** Keep the image for this reader; show its label, or else a proposal. */
  async open(entry) {
    await cases.lease(entry);
    const place = viewer.target();
    if (place?.entry !== entry || entry.loaded) return;
    await (entry.labelled ? this.load(place) : this.propose(place));
  }

  follow() {
    this.show();
    const place = viewer.target();
    if (place && this.tool !== 'look') this.run(() => this.use(this.tool));
  }

  changed() {
    const place = viewer.target();
    if (!place) return;
    place.entry.dirty = true;
    this.round = null;
    this.show();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.measure(place), MEASURE_AFTER_MS);
  }

  async measure(place) {
    const slices = viewer.read(place);
    try {
      if (slices) place.entry.masses = (await server.measure(place.entry.image, slices)).masses;
    } catch (error) {
      return this.say(error.message, 'bad');
    }
    this.show();
  }

  async propose(place = this.place()) {
    await cases.lease(place.entry);
    if (place.entry.dirty && !(await this.agreed('Replace what you drew?', 'The proposal takes its place; undo brings it back.', 'Replace'))) return;
    const { meta, slices } = await server.propose(place.entry.image);
    await viewer.write(place, slices);
    Object.assign(place.entry, { told: meta, masses: meta.masses, loaded: true, dirty: place.entry.labelled });
    this.round = null;
    this.say(meta.masses.length ? `${count(meta.masses.length, 'mass', 'masses')} proposed.` : 'No mass proposed.');
    if (meta.masses.length) viewer.goTo(meta.masses[0].key);
  }

  async load(place) {
    const { meta, slices } = await server.label(place.entry.image);
    await viewer.write(place, slices, { undoable: false });
    Object.assign(place.entry, { masses: meta.masses, loaded: true });
    this.say('The submitted label is shown; what you submit becomes a new version.');
  }

  async choose(row) {
    this.structure = row;
    for (const other of this.structures.children) other.setAttribute('aria-checked', String(other.id === `renal-structure-${row.name}`));
    if (this.tool !== 'brush' && this.tool !== 'add' && this.tool !== 'away') return this.use('brush');
    viewer.paintWith(this.place(), row.value);
  }

  /** What is chosen is what is drawn: OHIF makes the first segment the active one whenever it shows a labelmap anew. */
  holdStructure() {
    const place = viewer.target();
    if (place && this.tool === 'brush') viewer.paintWith(place, this.structure.value);
  }

  async use(tool) {
    const place = this.place();
    if (tool !== 'look') {
      try {
        await cases.lease(place.entry);
      } catch (error) {
        this.take('look');
        throw error;
      }
      await viewer.labelmap(place);
      viewer.paintWith(place, this.structure.value);
    }
    this.take(tool);
  }

  take(tool) {
    this.tool = tool;
    viewer.useTool(TOOLS[tool]);
    if (tool === 'brush' || tool === 'eraser') viewer.setBrush(this.radius_mm());
    document.body.classList.toggle('renal-clicking', tool === 'add' || tool === 'away');
    this.show();
  }

  clicked(found) {
    if (this.tool === 'add' || this.tool === 'away') this.run(() => this.refine(found));
  }

  /** Every click of a round goes along, with the label that the round started from. */
  async refine({ key, row, column }) {
    const place = this.place();
    if (cases.imageAt(key) !== place.entry.image) return; // the click only made its viewport the active one
    const { image } = place.entry;
    if (this.round?.image !== image) this.round = { image, start: viewer.read(place), clicks: [] };
    const { round } = this;
    const click = { key, row, column, structure: this.structure.name, foreground: this.tool === 'add' };
    const clicks = [...round.clicks.filter(other => !sameSpot(other, click)), click]; // on one spot the last word counts
    const { meta, slices } = await server.refine(image, round.start, clicks);
    await viewer.write(place, slices);
    this.round = { ...round, clicks };
    Object.assign(place.entry, { masses: meta.masses, dirty: true, loaded: true });
    this.say(`${count(clicks.length, 'click')}, ${count(meta.changed_voxels ?? 0, 'voxel')} changed against the start.`);
  }

  async submit() {
    const place = this.place();
    await cases.lease(place.entry);
    await viewer.labelmap(place);
    const { entry } = place;
    const slices = viewer.read(place);
    const empty = !hasVoxels(slices);
    if (empty && !(await this.agreed('Submit an empty label?', 'It says: there is no mass in this image.', 'No mass: submit'))) return;
    const ticked = [...this.drawn.querySelectorAll('input:checked')].map(box => box.name);
    const structures = empty ? ['mass'] : ticked; // nothing drawn says nothing about the kidneys
    const minutes = Math.round((Date.now() - entry.since) / 6000) / 10;
    const told = { structures, minutes, ...(entry.told ? { model_version: entry.told.model_version } : {}) };
    const { masses } = await server.submit(entry.image, slices, told);
    Object.assign(entry, { masses, labelled: true, dirty: false, loaded: true });
    this.say(`${entry.sequence}: submitted, ${count(masses.length, 'mass', 'masses')}.`, 'good');
  }

  async next(skipped = {}) {
    if (!(await this.mayLeave())) return;
    const address = await server.nextCase(skipped);
    if (!address) return this.say('No case is left for you: every image is labelled, or somebody else is labelling it.', 'good');
    for (const entry of cases.unsaved()) entry.dirty = false; // the reader said so
    location.assign(address); // a whole page: nothing of this case stays in memory
  }

  async skip() {
    const { entry } = this.place();
    const reasons = SKIP_REASONS.map((reason, n) => el('label.check', {}, el('input', { type: 'radio', name: 'reason', value: reason, checked: n === 0 }), reason));
    const words = el('label', {}, 'In other words', el('input', { name: 'words', maxlength: 200, autocomplete: 'off' }));
    const answer = await question(`Skip ${entry.sequence}?`, [...reasons, words], [['skip', 'Skip', true]]);
    if (answer) await this.next({ skip: entry.image, reason: answer.words.trim() || answer.reason });
  }

  async mayLeave() {
    const names = cases.unsaved().map(entry => entry.sequence).join(', ');
    return !names || this.agreed('Leave without submitting?', `What you drew on ${names} is not submitted and would be lost.`, 'Leave');
  }

  async agreed(title, text, yes) {
    return Boolean(await question(title, [el('p', {}, text)], [['yes', yes, true]]));
  }

  // ---- small things ------------------------------------------------------------------------------------------------
  place() {
    const place = viewer.target();
    if (!place) throw new Error('This series is none that a label is wanted for. Click one of the sequences first.');
    return place;
  }

  radius_mm() {
    return Number(this.size.value);
  }

  resize(step) {
    this.size.value = this.radius_mm() + step;
    this.sizeText.value = `${this.radius_mm()} mm`;
    viewer.setBrush(this.radius_mm());
  }

  press(id, on) {
    this.buttons[id].setAttribute('aria-pressed', String(on));
  }

  nextMass() {
    const { entry } = this.place();
    const keys = (entry.masses ?? []).map(mass => mass.key);
    if (keys.length) viewer.goTo(keys[(keys.indexOf(viewer.shownKey()) + 1) % keys.length]);
  }

  /** One thing at a time; what goes wrong is said in the panel. */
  async run(job) {
    if (this.busy) return;
    this.busy = true;
    this.setAttribute('aria-busy', 'true');
    try {
      await job();
    } catch (error) {
      this.say(error.message, 'bad');
    } finally {
      this.busy = false;
      this.removeAttribute('aria-busy');
      this.show();
    }
  }

  say(text, kind = '') {
    this.status.className = `status ${kind}`;
    this.status.textContent = text;
  }

  // ---- what is shown -----------------------------------------------------------------------------------------------
  show() {
    const entry = viewer.target()?.entry;
    for (const tool of ['brush', 'eraser', 'look', 'add', 'away']) this.press(tool, tool === this.tool);
    for (const tool of ['add', 'away']) {
      this.buttons[tool].disabled = !cases.current?.clicks;
      if (this.buttons[tool].disabled) this.buttons[tool].title = 'The server has no model for clicks';
    }
    this.about.replaceChildren(...this.aboutCase(entry));
    this.told.replaceChildren(...aboutProposal(entry));
    this.masses.replaceChildren(this.massTable(entry));
  }

  aboutCase(entry) {
    const { patient, user, images } = cases.current ?? { images: [] };
    const done = cases.entries().filter(one => one.labelled).length;
    const others = el('div.r-row.images', { role: 'group', 'aria-label': 'Sequences' }, cases.entries().map(one =>
      el('button', { type: 'button', 'aria-pressed': String(one === entry), title: `${one.title}: ${stateOf(one)}`, onclick: () => viewer.activate(one) },
        one.sequence, el('span.state', { 'aria-hidden': true }, one.dirty ? '●' : one.labelled ? '✓' : ''))));
    return [
      el('h1', {}, patient || 'No case', entry ? el('small', {}, `${entry.sequence} · ${entry.title}`) : null),
      entry?.reason ? el('p', { id: 'renal-reason' }, el('b', {}, 'Why this case: '), entry.reason) : null,
      others,
      el('p.quiet', {}, [`${done} of ${images.length} labelled`, entry && stateOf(entry), user].filter(Boolean).join(' · ')),
    ].filter(Boolean);
  }

  massTable(entry) {
    if (!entry?.loaded && !entry?.masses) return el('p.quiet', {}, 'No mass yet: nothing is drawn.');
    if (!entry.masses?.length) return el('p.quiet', {}, 'No mass.');
    const head = ['Mass', 'Volume', 'Diameter', 'Side', 'Confidence'].map(title => el('th', { scope: 'col' }, title));
    const rows = entry.masses.map((mass, n) => {
      const confidence = mass.confidence ?? near(mass, entry.told?.masses)?.confidence;
      const go = el('button.number', { type: 'button', title: 'Show this mass (M: the next)', 'aria-label': `Show mass ${n + 1}`, onclick: () => viewer.goTo(mass.key) }, n + 1);
      const cells = [`${mass.volume_ml.toFixed(mass.volume_ml < 10 ? 2 : 1)} mL`, `${mass.diameter_mm.toFixed(0)} mm${mass.small ? '' : ' > 40'}`, mass.side];
      return el('tr', {}, el('td', {}, go), cells.map(text => el('td', {}, text)), el('td', {}, confidence === undefined || confidence === null ? '–' : bar(confidence)));
    });
    return el('table', { id: 'renal-masses' }, el('thead', {}, el('tr', {}, head)), el('tbody', {}, rows));
  }
}

function aboutProposal(entry) {
  const told = entry?.told;
  if (!told) return [];
  const facts = [`Model ${told.model_version}`, told.sequence?.code && told.sequence.code !== entry.sequence ? `taken for ${told.sequence.code}` : ''];
  if (told.expected_dice !== undefined && told.expected_dice !== null) facts.push(`expected Dice ${Number(told.expected_dice).toFixed(2)}`);
  if (told.propagated_from) facts.push(`carried over from the label of ${told.propagated_from}`);
  const flag = told.distrust ? el('p.warning', { role: 'alert', id: 'renal-distrust' }, el('b', {}, 'Look twice: '), told.distrust_reason || 'the server does not trust this proposal.') : null;
  return [flag, el('p.quiet', { id: 'renal-proposal' }, facts.filter(Boolean).join(' · '))].filter(Boolean);
}

function stateOf(entry) {
  if (entry.dirty) return 'not submitted';
  return entry.labelled ? 'submitted' : entry.leased ? 'kept for you' : 'not labelled';
}

function near(mass, others) {
  const far = other => Math.hypot(...other.centre_ras.map((mm, axis) => mm - mass.centre_ras[axis]));
  return (others ?? []).filter(other => far(other) < NEAR_MM).sort((a, b) => far(a) - far(b))[0];
}

function bar(share) {
  const percent = Math.round(share * 100);
  const filled = el('i');
  filled.style.width = `${percent}%`;
  return el('span.bar', {}, el('span', { 'aria-hidden': true }, filled), `${percent} %`);
}

const sameSpot = (one, other) => ['key', 'row', 'column', 'structure'].every(name => one[name] === other[name]);
const hasVoxels = slices => [...(slices?.values() ?? [])].some(voxels => voxels.some(Boolean));
const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

customElements.define('renal-panel', RenalPanel);
