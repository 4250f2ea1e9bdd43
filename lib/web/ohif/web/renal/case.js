// The study that is open, as the server describes it, and what became of each image since.
import * as server from './server.js';

export let current = null; // {study, user, patient, structures, strategies, clicks, images: [...]}
export let problem = ''; // why the case could not be read

const images = new Map(); // image id -> its entry of current.images, with what this page knows of it
const imageOfKey = new Map(); // slice -> image id

export async function load(study, wanted) {
  images.clear();
  imageOfKey.clear();
  try {
    current = await server.caseOf({ study });
    problem = '';
  } catch (error) {
    current = { study, user: '', patient: '', structures: [], strategies: [], clicks: false, images: [] };
    problem = error.message;
  }
  for (const entry of current.images) {
    images.set(entry.image, { ...entry, leased: false, dirty: false, loaded: false, masses: null, told: null, since: Date.now() });
    for (const key of entry.keys) imageOfKey.set(key, entry.image);
  }
  const unlabelled = current.images.find(entry => !entry.labelled) ?? current.images[0];
  current.wanted = images.has(wanted) ? wanted : (unlabelled?.image ?? '');
}

export const entry = image => images.get(image);
export const entries = () => [...images.values()];
export const imageAt = key => imageOfKey.get(key);
export const unsaved = () => entries().filter(one => one.dirty);

/** Keep an image for this reader before anything in it changes. */
export async function lease(one) {
  if (one.leased) return;
  await server.lease(one.image);
  one.leased = true;
}
