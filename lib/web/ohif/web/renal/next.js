// The page between "next case" and the viewer: asks for the case and opens it.
import * as server from './server.js';

try {
  const address = await server.nextCase();
  if (address) location.replace(address);
  else document.querySelector('#message').textContent = 'No case is left for you: every image is labelled, or somebody else is labelling it.';
} catch (error) {
  document.querySelector('#message').textContent = error.message;
}
