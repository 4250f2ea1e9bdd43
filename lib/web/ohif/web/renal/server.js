// What the panel asks of the server: same origin, the browser's own cookie, errors in the server's words.

const OFFLINE = 'The server cannot be reached. Your drawing is still here; try again in a moment.';
const LOGGED_OUT = 'Your login has ended. Log in again in another tab (/login); your drawing is still here.';
const BROWSER = 'renal-loop.browser'; // tells readers apart where nobody logs in
const STRATEGY = 'renal-loop.strategy';

export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function ask(address, options = {}) {
  let reply;
  try {
    reply = await fetch(address, { credentials: 'same-origin', ...options });
  } catch {
    throw new ServerError(OFFLINE, 0);
  }
  if (reply.ok) return reply;
  const told = await reply.json().catch(() => ({}));
  throw new ServerError(reply.status === 401 ? LOGGED_OUT : (told.detail ?? `The server answers ${reply.status}.`), reply.status);
}

const packed = bytes => new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream('gzip'))).blob();
const unpacked = async file =>
  new Uint8Array(await new Response(file.stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer());

/** Slices of one image as a form: their names, then their voxels one after the other. */
async function form(slices, told = {}) {
  const keys = [...slices.keys()];
  const size = keys.length ? slices.get(keys[0]).length : 0;
  const voxels = new Uint8Array(size * keys.length);
  keys.forEach((key, number) => voxels.set(slices.get(key), number * size));
  const sent = new FormData();
  sent.append('meta', JSON.stringify({ ...told, keys }));
  sent.append('mask', await packed(voxels), 'mask.gz');
  return sent;
}

/** {meta, slices}, slices being SOP instance -> voxels in stored row and column order. */
async function slicesOf(reply) {
  const got = await reply.formData();
  const meta = JSON.parse(got.get('meta') instanceof Blob ? await got.get('meta').text() : got.get('meta'));
  const voxels = await unpacked(got.get('mask'));
  const size = voxels.length / meta.keys.length;
  return { meta, slices: new Map(meta.keys.map((key, number) => [key, voxels.subarray(number * size, (number + 1) * size)])) };
}

function browserId() {
  let id = localStorage.getItem(BROWSER);
  if (!id) localStorage.setItem(BROWSER, (id = `browser-${Array.from(crypto.getRandomValues(new Uint8Array(8)), b => b.toString(16).padStart(2, '0')).join('')}`));
  return id;
}

const at = (path, query) => `${path}?${new URLSearchParams(query)}`;

/** Name of the order in which cases come: the reader's choice, else the server's first. */
export async function strategy() {
  const names = Object.keys((await (await ask('/info/')).json()).strategies);
  const chosen = localStorage.getItem(STRATEGY);
  return names.includes(chosen) ? chosen : names[0];
}
export const chooseStrategy = name => localStorage.setItem(STRATEGY, name);

export const caseOf = async query => (await ask(at('/viewer/case', query))).json();
export const label = async image => slicesOf(await ask(at('/viewer/label', { image })));
export const measure = async (image, slices) =>
  (await ask(at('/viewer/measure', { image }), { method: 'POST', body: await form(slices) })).json();
export const submit = async (image, slices, told) =>
  (await ask(at('/viewer/label', { image }), { method: 'PUT', body: await form(slices, told) })).json();

export async function propose(image) {
  const body = new FormData();
  body.append('meta', '{}');
  return slicesOf(await ask(at('/viewer/proposal/segment_auto', { image }), { method: 'POST', body }));
}

export async function refine(image, slices, clicks) {
  const body = await form(slices, { clicks });
  return slicesOf(await ask(at('/viewer/proposal/refine_clicks', { image }), { method: 'POST', body }));
}

async function sample(wanted) {
  const body = JSON.stringify({ client_id: browserId(), ...wanted });
  const headers = { 'Content-Type': 'application/json' };
  const reply = await ask(`/activelearning/${encodeURIComponent(await strategy())}`, { method: 'POST', headers, body });
  return reply.json();
}

/** Keep an image for this reader; refused (409) while somebody else is labelling it. */
export const lease = image => sample({ image });

/** Address of the next case; null when none is left. `skipped` is {skip, reason} of the image to pass over first. */
export async function nextCase(skipped = {}) {
  const found = await sample(skipped);
  if (!found.id) return null;
  const { study } = await caseOf({ image: found.id });
  return at('/ohif/annotate', { StudyInstanceUIDs: study, image: found.id });
}
