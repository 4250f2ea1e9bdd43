// OHIF's services behind the few words that the panel needs: viewports, labelmaps by slice, tools, undo.
import * as cases from './case.js';
import { seriesOf, viewportId } from './protocol.js';

const LABELMAP = 'Labelmap';
const BRUSHES = ['CircularBrush', 'CircularEraser'];
const TOOL_GROUPS = ['default'];
const STYLE = { fillAlpha: 0.22, fillAlphaInactive: 0.22, outlineWidth: 2, outlineWidthInactive: 2, renderOutline: true, renderFill: true };

let services, commands, cornerstone, tools;
let writing = false; // what we write ourselves is no stroke of the reader's

export function connect({ servicesManager, commandsManager, extensionManager }) {
  services = servicesManager.services;
  commands = commandsManager;
  const common = extensionManager.getModuleEntry('@ohif/extension-cornerstone.utilityModule.common');
  ({ cornerstone, cornerstoneTools: tools } = common.exports.getCornerstoneLibraries());
}

// ---- upright -------------------------------------------------------------------------------------------------------
const LARGEST = axis => [0, 1, 2].reduce((best, n) => (Math.abs(axis[n]) > Math.abs(axis[best]) ? n : best), 0);
const WANTED = [1, 1, -1]; // of LPS: the patient's left to the right; back, or feet, down

/** Turn images that are stored mirrored, so that each is seen as on a light box; voxels stay where they are. */
function setUpright(id) {
  const viewport = viewportOf(id);
  const shown = viewport?.getCurrentImageId?.();
  const plane = shown && cornerstone.metaData.get('imagePlaneModule', shown);
  if (!plane?.rowCosines) return;
  const mirrored = cosines => Math.sign(cosines[LARGEST(cosines)]) !== WANTED[LARGEST(cosines)];
  viewport.setCamera({ flipHorizontal: mirrored(plane.rowCosines), flipVertical: mirrored(plane.columnCosines) });
  viewport.render();
}

/** Keep every viewport upright from now on. */
export function stayUpright() {
  const service = services.cornerstoneViewportService;
  for (const id of services.viewportGridService.getState().viewports.keys()) setUpright(id);
  return service.subscribe(service.EVENTS.VIEWPORT_DATA_CHANGED, ({ viewportId: id }) => setTimeout(() => setUpright(id))).unsubscribe;
}

// ---- viewports -----------------------------------------------------------------------------------------------------
const viewportOf = id => services.cornerstoneViewportService.getCornerstoneViewport(id);
const activeId = () => services.viewportGridService.getActiveViewportId();

function displaySetIn(id) {
  const uids = services.viewportGridService.getState().viewports.get(id)?.displaySetInstanceUIDs ?? [];
  return uids.map(uid => services.displaySetService.getDisplaySetByUID(uid)).find(set => set?.Modality === 'MR');
}

/** Name of a slice: its SOP instance, with the number of the frame in an enhanced image. */
function keyOf(imageId) {
  const uid = cornerstone.metaData.get('instance', imageId)?.SOPInstanceUID;
  return cases.imageAt(uid) ? uid : `${uid}/frames/${/\/frames\/(\d+)/.exec(imageId)?.[1] ?? 1}`;
}

/** What the reader works in: viewport, display set, and the image that the slice shown belongs to; null without one. */
export function target() {
  const id = activeId();
  const displaySet = displaySetIn(id);
  const shown = viewportOf(id)?.getCurrentImageId?.();
  const entry = shown && cases.entry(cases.imageAt(keyOf(shown)));
  return displaySet && entry ? { viewportId: id, displaySet, entry } : null;
}

/** Make the viewport that shows an image the active one. */
export function activate(entry) {
  services.viewportGridService.setActiveViewportId(viewportId(seriesOf().indexOf(entry.series)));
}

/** Whether the viewport of an image shows a slice of it. */
export function ready(entry) {
  const shown = viewportOf(viewportId(seriesOf().indexOf(entry.series)))?.getCurrentImageId?.();
  return Boolean(shown && cornerstone.cache.getImage(shown));
}

/** Show the slice of this name in the active viewport; the others follow. */
export function goTo(key) {
  const viewport = viewportOf(activeId());
  const index = viewport.getImageIds().findIndex(imageId => keyOf(imageId) === key);
  if (index >= 0) viewport.setImageIdIndex(index);
}

export const shownKey = () => keyOf(viewportOf(activeId()).getCurrentImageId());

/** Calls back when another viewport becomes the active one. */
export function onActive(call) {
  const { subscribe, EVENTS } = services.viewportGridService;
  return subscribe.call(services.viewportGridService, EVENTS.ACTIVE_VIEWPORT_ID_CHANGED, call).unsubscribe;
}

// ---- labelmaps -----------------------------------------------------------------------------------------------------
const segmentationId = displaySet => `renal-${displaySet.SeriesInstanceUID}`;

/** The labelmap of the active series in its viewport, made when there is none. */
export async function labelmap({ viewportId: id, displaySet }) {
  const service = services.segmentationService;
  const name = segmentationId(displaySet);
  const { structures } = cases.current;
  if (!service.getSegmentation(name)) {
    const segments = Object.fromEntries(
      structures.map((row, n) => [row.value, { segmentIndex: row.value, label: row.title, active: n === 0, locked: false, cachedStats: {} }])
    );
    await service.createLabelmapForDisplaySet(displaySet, { segmentationId: name, label: displaySet.SeriesDescription, segments });
  }
  if (!service.getSegmentationRepresentations(id, { segmentationId: name }).length) {
    await service.addSegmentationRepresentation(id, { segmentationId: name, type: LABELMAP });
    for (const row of structures) service.setSegmentColor(id, name, row.value, [...row.colour, 255]);
    tools.segmentation.segmentationStyle.setStyle({ type: LABELMAP }, STYLE);
  }
  service.setActiveSegmentation(id, name);
  return name;
}

/** [slice, its voxels] of an image as drawn; the voxels are the viewer's own. */
function drawn({ displaySet, entry }) {
  const segmentation = services.segmentationService.getSegmentation(segmentationId(displaySet));
  const ids = segmentation?.representationData[LABELMAP].imageIds ?? [];
  return ids
    .map(id => cornerstone.cache.getImage(id))
    .map(image => [keyOf(image.referencedImageId), image.voxelManager.getScalarData()])
    .filter(([key]) => cases.imageAt(key) === entry.image);
}

/** A copy of what is drawn on an image: slice -> voxels, all slices; null when nothing was ever drawn. */
export function read(place) {
  const found = drawn(place);
  return found.length ? new Map(found.map(([key, voxels]) => [key, Uint8Array.from(voxels)])) : null;
}

/** Put a label in the place of what is drawn on an image; one step of undo. */
export async function write(place, slices, { undoable = true } = {}) {
  const name = await labelmap(place);
  const changed = drawn(place).filter(([key, voxels]) => slices.get(key).some((value, n) => value !== voxels[n]));
  const before = changed.map(([, voxels]) => Uint8Array.from(voxels));
  const set = contents => {
    writing = true;
    try {
      changed.forEach(([, voxels], n) => voxels.set(contents[n]));
      tools.segmentation.triggerSegmentationEvents.triggerSegmentationDataModified(name);
    } finally {
      writing = false;
    }
  };
  const after = changed.map(([key]) => slices.get(key));
  set(after);
  if (undoable && changed.length) {
    const restoreMemo = undo => {
      set(undo ? before : after);
      changes.forEach(call => call(name));
    };
    cornerstone.utilities.HistoryMemo.DefaultHistoryMemo.push({ id: name, operationType: 'labelmap', restoreMemo });
  }
}

const changes = new Set();

/** Calls back when the reader changed what is drawn: by a stroke, or by undo. */
export function onChange(call) {
  const heard = event => !writing && event.detail.segmentationId.startsWith('renal-') && call(event.detail.segmentationId);
  cornerstone.eventTarget.addEventListener(tools.Enums.Events.SEGMENTATION_DATA_MODIFIED, heard);
  changes.add(call);
  return () => {
    cornerstone.eventTarget.removeEventListener(tools.Enums.Events.SEGMENTATION_DATA_MODIFIED, heard);
    changes.delete(call);
  };
}

export const undo = () => commands.run('undo');
export const redo = () => commands.run('redo');

let hidden = false;
let outlined = false;
/** Show or hide every label. */
export function toggleHidden() {
  hidden = !hidden;
  setLook();
  return hidden;
}
/** Outlines alone, or filled too. */
export function toggleOutlined() {
  outlined = !outlined;
  setLook();
  return outlined;
}
function setLook() {
  const look = { ...STYLE, renderOutline: !hidden, renderFill: !hidden && !outlined, ...(hidden ? { fillAlpha: 0, outlineWidth: 0 } : {}) };
  tools.segmentation.segmentationStyle.setStyle({ type: LABELMAP }, look);
  services.cornerstoneViewportService.getRenderingEngine().render();
}

// ---- tools ---------------------------------------------------------------------------------------------------------
export function useTool(toolName) {
  commands.run('setToolActiveToolbar', { toolName, toolGroupIds: TOOL_GROUPS });
}
export function paintWith(place, value) {
  services.segmentationService.setActiveSegment(segmentationId(place.displaySet), value);
}
export const setBrush = radius_mm => commands.run('setBrushSize', { value: radius_mm, toolNames: BRUSHES });

/** Calls back before a press on an image reaches its tool. */
export function onPress(call) {
  const pressed = event => event.target.closest?.('.cornerstone-viewport-element, [data-viewport-uid]') && call();
  document.addEventListener('pointerdown', pressed, true);
  return () => document.removeEventListener('pointerdown', pressed, true);
}

/** Calls back with {key, row, column} of every click (not drag) into a viewport. */
export function onClick(call) {
  let down = null;
  const grid = document;
  const pressed = event => (down = event.button === 0 ? [event.clientX, event.clientY] : null);
  const released = event => {
    const moved = !down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 3;
    const element = event.target.closest?.('.cornerstone-viewport-element, [data-viewport-uid]');
    if (moved || !element) return;
    const found = place(event);
    if (found) call(found);
  };
  grid.addEventListener('pointerdown', pressed, true);
  grid.addEventListener('pointerup', released, true);
  return () => {
    grid.removeEventListener('pointerdown', pressed, true);
    grid.removeEventListener('pointerup', released, true);
  };
}

function place(event) {
  for (const id of services.viewportGridService.getState().viewports.keys()) {
    const viewport = viewportOf(id);
    const box = viewport?.element?.getBoundingClientRect();
    if (!box || event.clientX < box.left || event.clientX >= box.right || event.clientY < box.top || event.clientY >= box.bottom) continue;
    const imageId = viewport.getCurrentImageId();
    const world = viewport.canvasToWorld([event.clientX - box.left, event.clientY - box.top]);
    const { imageData, dimensions } = viewport.getImageData(); // as the brush finds its pixel
    const [column, row] = cornerstone.utilities.transformWorldToIndex(imageData, world);
    const [columns, rows] = dimensions;
    return column >= 0 && row >= 0 && column < columns && row < rows ? { viewportId: id, key: keyOf(imageId), row, column } : null;
  }
  return null;
}
