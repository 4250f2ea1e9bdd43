"""``refine_clicks``: the MONAI Label task behind Slicer's SmartEdit and OHIF's Point Prompts."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from numpy.typing import NDArray

from lib.domain.clicks import Click
from lib.domain.errors import BadRequestError
from lib.imaging.geometry import along, check_same_grid
from lib.imaging.lesions import measure_masses
from lib.imaging.metrics import foreground_box
from lib.imaging.volume import Volume, read_label, read_volume
from lib.infers.click_request import read_clicks
from lib.infers.sequence import LABELS, SequenceInfer, checked_suffix, write_label
from lib.nets.networks import load_weights
from lib.nets.refine import ClickImage, ClickRefiner
from lib.registry.models import CLICKS, ModelFolder, Stamp, stamp

STARTS = ("auto", "label", "proposal")
_KEPT = 3  # images made ready; about 50 MB each


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Start:
    """The label that clicks correct, and where it came from."""

    label: NDArray[np.uint8]
    source: str


class ClickInfer(InferTask):
    """Adapter for ClickRefiner. One lock guards what is kept between clicks; the refiner has its own."""

    def __init__(
        self,
        models: ModelFolder,
        proposals: SequenceInfer,
        newest_label: Callable[[str], Path | None] = lambda _: None,
        device: str = "auto",
    ) -> None:
        """Take where things come from.

        Args:
            models: Folders of the weights.
            proposals: Makes the proposal of an image.
            newest_label: The reader's newest label of an image id; None when there is none.
            device: ``"auto"``, or a torch device.
        """
        super().__init__(InferType.DEEPEDIT, LABELS, 3, "Corrects a label by clicks on mass, kidney or cyst", config={})
        self._models, self._proposals, self._newest_label, self._device = models, proposals, newest_label, device
        self._lock = Lock()
        self._loaded: tuple[Stamp, ClickRefiner, str] | None = None
        self._ready: OrderedDict[tuple[Stamp, Stamp], ClickImage] = OrderedDict()
        self._proposed: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()

    def is_valid(self) -> bool:
        """Whether there are trained weights: an untrained network is never served."""
        return self._models.find(CLICKS) is not None and self._proposals.is_valid()

    def get_path(self, validate: bool = True) -> str | None:  # noqa: ARG002
        """Return the weight file that serves now."""
        path = self._models.find(CLICKS)
        return str(path) if path else None

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the label file (the caller removes it) and what clients show.

        Raises:
            RenalError: When image, label, clicks or file type cannot be used.
        """
        suffix = checked_suffix(request)
        marks = [time.perf_counter()]
        refiner, version, image = self._prepared(Path(request["image"]))
        clicks = read_clicks(request, image.grid.shape)
        marks.append(time.perf_counter())
        start = self._start(request, image)
        marks.append(time.perf_counter())
        label = Volume(data=refiner(image, start.label, clicks), affine=image.grid.affine)
        marks.append(time.perf_counter())
        reply = {
            "label_names": LABELS,
            "started_from": start.source,
            "clicks": _counted(clicks),
            **_changes(start.label, label.data),
            "masses": [asdict(mass) for mass in measure_masses(label)],
            "model_version": version,
        }
        file = write_label(label, suffix)
        marks.append(time.perf_counter())
        took = np.diff(marks).round(3).tolist()
        return file, {**reply, "seconds": dict(zip(("image", "start", "network", "write"), took, strict=True))}

    def _prepared(self, path: Path) -> tuple[ClickRefiner, str, ClickImage]:
        """The network that serves, its version, and the image as it sees it; both kept while their files stay."""
        weights = self._models.champion(CLICKS)
        seen = stamp(weights)
        with self._lock:
            if self._loaded is None or self._loaded[0] != seen:
                loaded = load_weights(weights)
                self._loaded = (seen, ClickRefiner(loaded, self._device), loaded.notes.get("version", "unknown"))
            _, refiner, version = self._loaded
            key = (seen, stamp(path))
            if key not in self._ready:
                _keep(self._ready, key, refiner.ready(read_volume(path)))
            self._ready.move_to_end(key)
            return refiner, version, self._ready[key]

    def _start(self, request: dict[str, Any], image: ClickImage) -> _Start:
        wanted = request.get("start") or STARTS[0]
        if wanted not in STARTS:
            msg = f"start is {wanted!r}; expected one of: {', '.join(STARTS)}"
            raise BadRequestError(msg)
        sent = request.get("label_file")
        if sent and wanted != "proposal":
            return _Start(label=_on(image, Path(sent)), source="label sent")
        info = request.get("image_info") or {}
        newest = self._newest_label(str(info["image_id"])) if info and wanted != "proposal" else None
        if newest:
            return _Start(label=_on(image, newest), source="reader's label")
        if wanted == "label":
            msg = "start is 'label', and no reader has labelled this image yet; expected 'auto' or 'proposal'"
            raise BadRequestError(msg)
        return _Start(label=self._proposal(request), source="proposal")

    def _proposal(self, request: dict[str, Any]) -> NDArray[np.uint8]:
        key = self._proposals.key(request)
        with self._lock:
            found = self._proposed.get(key)
        if found is None:
            proposed, _ = self._proposals.label(request)
            found = proposed.data.astype(np.uint8)
            with self._lock:
                _keep(self._proposed, key, found)
        return found


def _keep(kept: OrderedDict[Any, Any], key: object, value: object) -> None:
    kept[key] = value
    while len(kept) > _KEPT:
        kept.popitem(last=False)


def _on(image: ClickImage, path: Path) -> NDArray[np.uint8]:
    """A label's voxels along the image's axes.

    Raises:
        BadLabelError: When it holds values outside the table.
        GeometryError: When it is not on the image's grid.
    """
    label = along(read_label(path), image.grid)
    check_same_grid(label, image.grid)
    return label.data.astype(np.uint8)


def _counted(clicks: Sequence[Click]) -> dict[str, dict[str, int]]:
    counted = Counter((click.structure, click.inside) for click in clicks)
    return {name: {"foreground": counted[name, True], "background": counted[name, False]} for name in LABELS}


def _changes(before: NDArray[np.uint8], after: NDArray[np.generic]) -> dict[str, object]:
    changed = before != after
    count = int(np.count_nonzero(changed))
    box = foreground_box(changed) if count else ()
    corners = [[edge.start for edge in box], [edge.stop - 1 for edge in box]] if count else None
    return {"changed_voxels": count, "changed_box": corners}
