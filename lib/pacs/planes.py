"""Which images of the PACS an image of the cohort was made from, slice by slice.

A slice is known by a key that no viewer can flip: the SOP instance UID, or ``UID/frames/N`` for frame N (from 1) of an
enhanced image. ``slices_of`` takes a label apart into ``{key: pixels}`` as the PACS's images are, rows first;
``label_of`` puts it together again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.domain.errors import BadLabelError
from lib.domain.records import check_image_id
from lib.imaging.volume import Grid, Volume, write_bytes
from lib.ingest.dicom_convert import expected_grid
from lib.ingest.dicom_planes import lay_on
from lib.ingest.dicom_series import Stack

_LARGEST = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlanes:
    """Where an image comes from.

    Attributes:
        keys: One a slice, in order along the slice normal.
        shape: Columns, rows, slices.
        affine: Of voxels (column, row, slice) into RAS, row by row.
    """

    image_id: str
    study_uid: str
    series_uid: str
    keys: tuple[str, ...]
    shape: tuple[int, int, int]
    affine: tuple[float, ...]

    @property
    def grid(self) -> Grid:
        """Where voxels (column, row, slice) lie."""
        return Grid(shape=self.shape, affine=np.array(self.affine).reshape(4, 4))

    @property
    def sop_uids(self) -> frozenset[str]:
        """The images that the slices are in."""
        return frozenset(sop_and_frame(key)[0] for key in self.keys)


def planes_of_stack(image_id: str, stack: Stack) -> ImagePlanes:
    """Note where an image comes from.

    Args:
        image_id: Of the image that the stack became.
        stack: Without a problem.
    """
    grid, first = expected_grid(stack), stack.slices[0]
    keys = (f"{one.sop_uid}/frames/{one.frame + 1}" if one.frame is not None else one.sop_uid for one in stack.slices)
    columns, rows, slices = grid.shape
    return ImagePlanes(
        image_id=image_id,
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        keys=tuple(keys),
        shape=(columns, rows, slices),
        affine=tuple(grid.affine.ravel().tolist()),
    )


def sop_and_frame(key: str) -> tuple[str, int | None]:
    """Take a key apart: SOP instance UID, and number of the frame from 1 in an enhanced image."""
    uid, _, frame = key.partition("/frames/")
    return uid, int(frame) if frame else None


def slices_of(label: Volume, planes: ImagePlanes) -> dict[str, NDArray[np.uint8]]:
    """Take a label apart: one (row, column) array a slice, empty ones included.

    Args:
        label: On the image's voxels, its axes in any order and direction.
        planes: Of that image.

    Raises:
        GeometryError: When it does not lie there.
    """
    laid = lay_on(label, planes.grid).data.astype(np.uint8)
    return {key: np.ascontiguousarray(laid[:, :, number].T) for number, key in enumerate(planes.keys)}


def label_of(slices: Mapping[str, NDArray[np.integer]], planes: ImagePlanes, image: Grid) -> Volume:
    """Put a label together; a slice that is not given is empty.

    Args:
        slices: One (row, column) array of values 0 to 255 a key.
        planes: Of the image.
        image: Grid of the image's file; the label comes on its axes.

    Raises:
        BadLabelError: When a key is not of this image, an array has another size, or a value does not fit.
        GeometryError: When the planes do not lie on the image.
    """
    numbers = {key: number for number, key in enumerate(planes.keys)}
    columns, rows, _ = planes.shape
    data = np.zeros(planes.shape, np.uint8)
    for key, pixels in slices.items():
        if key not in numbers:
            msg = f"a slice is none of the {len(numbers)} of this image; expected SOP instance UIDs of its series"
            raise BadLabelError(msg)
        if pixels.shape != (rows, columns) or pixels.min() < 0 or pixels.max() > _LARGEST:
            msg = f"a slice has shape {pixels.shape}; expected {rows} rows and {columns} columns of values 0 to 255"
            raise BadLabelError(msg)
        data[:, :, numbers[key]] = pixels.T
    return lay_on(Volume(data=data, affine=planes.grid.affine), image)


def shown(planes: ImagePlanes, image: Grid) -> dict[str, Any]:
    """What a viewer is told: UIDs, size, and each slice with its index along the slice axis of the image's file."""
    columns, rows, _ = planes.shape
    along = np.linalg.inv(image.affine) @ planes.grid.affine
    starts = np.array([along @ (0, 0, number, 1) for number in range(len(planes.keys))])[:, :3]
    axis = int(np.abs(along[:3, 2]).argmax())
    slices = []
    for key, start in zip(planes.keys, starts, strict=True):
        uid, frame = sop_and_frame(key)
        slices.append({"key": key, "sop": uid, "frame": frame, "index": round(float(start[axis]))})
    return {
        "image": planes.image_id,
        "study": planes.study_uid,
        "series": planes.series_uid,
        "rows": rows,
        "columns": columns,
        "axis": axis,
        "slices": slices,
    }


class PlanesFolder:
    """One JSON file an image; UIDs lead to patients, so it lies outside the cohort."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._of_image: dict[str, ImagePlanes] = {}
        self._of_series: dict[str, list[str]] = {}
        for path in sorted(root.glob("*.json")) if root.is_dir() else ():
            self._keep(_read(path))

    def add(self, planes: ImagePlanes) -> None:
        """Note where an image comes from; what is known stays as it is."""
        if planes.image_id not in self._of_image:
            payload = json.dumps(asdict(planes)).encode()
            write_bytes(payload, self._root / f"{check_image_id(planes.image_id)}.json", mode=0o600)
            self._keep(planes)

    def find(self, image_id: str) -> ImagePlanes | None:
        """Where an image comes from; None when it is not from the PACS."""
        return self._of_image.get(image_id)

    def of_series(self, series_uid: str) -> list[ImagePlanes]:
        """The images that a series became: one, several where it held several phases, none when it was not taken."""
        return [self._of_image[image_id] for image_id in self._of_series.get(series_uid, [])]

    def of_study(self, study_uid: str) -> list[ImagePlanes]:
        """The images of a study, by id."""
        return [one for _, one in sorted(self._of_image.items()) if one.study_uid == study_uid]

    def _keep(self, planes: ImagePlanes) -> None:
        self._of_image[planes.image_id] = planes
        self._of_series.setdefault(planes.series_uid, []).append(planes.image_id)


def _read(path: Path) -> ImagePlanes:
    found = json.loads(path.read_text(encoding="utf-8"))
    tuples = {name: tuple(found[name]) for name in ("keys", "shape", "affine")}
    return ImagePlanes(**{**found, **tuples})
