"""A volume as DICOM keeps it: images in order along the slice axis, and labels laid on them voxel by voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from lib.domain.errors import BadDicomError, GeometryError
from lib.imaging.geometry import check_same_grid
from lib.imaging.volume import AXES, Grid, Volume
from lib.ingest.dicom_convert import expected_grid
from lib.ingest.dicom_series import Stack, stacks_of
from lib.ingest.dicom_slices import UNREADABLE, Slice, quiet_pydicom, slices_of

GRID_MM = 0.1  # headers keep positions as decimal text, NIfTI as float32
_PIXELS = 0x7FE0
_EMPTY_IF_ABSENT = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_SIGNED = 1e-2  # tolerated difference from a permutation with signs


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    """The images of one volume.

    Attributes:
        images: Their headers in order along the slice normal, or the one header of an enhanced image; copies without
            pixels, and with an empty value where a header lacks an element that must be there.
        slices: One a plane, in the same order.
        grid: Where the voxels lie, on axes (column, row, plane).
        frame_of_reference: UID of the coordinates that the positions are in.
    """

    images: tuple[Dataset, ...]
    slices: tuple[Slice, ...]
    grid: Grid
    frame_of_reference: str

    @property
    def series_uid(self) -> str:
        """UID of the series."""
        return self.slices[0].series_uid

    @property
    def enhanced(self) -> bool:
        """Whether all planes are frames of one image."""
        return self.slices[0].frame is not None


def planes_of(series: Sequence[Dataset]) -> Planes:
    """Put the images of one volume in order, and check that they are one.

    Args:
        series: Headers, with or without pixels, of all images of the volume and of no other.

    Raises:
        BadDicomError: When they are not one complete volume of MR images, or do not say in which coordinates.
    """
    try:
        with quiet_pydicom():
            of_slice = [(one, image) for image in series for one in slices_of(image)]
            frames = {str(image.get("FrameOfReferenceUID", "")) for image in series}
    except UNREADABLE as error:
        msg = f"a header of the series cannot be read ({type(error).__name__}); expected MR images"
        raise BadDicomError(msg) from None
    stack = _one_stack([one for one, _ in of_slice])
    if len(frames) != 1 or "" in frames:
        msg = f"the images name {len(frames - {''})} frames of reference; expected one, named by each"
        raise BadDicomError(msg)
    header = {id(one): image for one, image in of_slice}
    ordered = [header[id(one)] for one in stack.slices]
    grid = expected_grid(stack)
    step_mm = float(np.linalg.norm(grid.affine[:3, 2]))
    return Planes(
        images=tuple(_complete(image, step_mm) for image in {id(image): image for image in ordered}.values()),
        slices=stack.slices,
        grid=Grid(shape=grid.shape, affine=grid.affine),
        frame_of_reference=frames.pop(),
    )


def _one_stack(slices: Sequence[Slice]) -> Stack:
    if not slices or len({one.series_uid for one in slices}) != 1:
        count = len({one.series_uid for one in slices})
        msg = f"the images belong to {count} series; expected the images of one"
        raise BadDicomError(msg)
    if len({(one.sop_uid, one.frame) for one in slices}) != len(slices) or not all(one.sop_uid for one in slices):
        msg = "two images share one SOP instance UID, or one has none; expected one an image"
        raise BadDicomError(msg)
    stacks = stacks_of(slices)
    if len(stacks) != 1:
        msg = f"the series holds {len(stacks)} volumes; expected the images of one"
        raise BadDicomError(msg)
    if stacks[0].problem:
        msg = f"the series is not one whole volume: {stacks[0].problem}"
        raise BadDicomError(msg)
    return stacks[0]


def _complete(image: Dataset, step_mm: float) -> Dataset:
    header = Dataset()
    with quiet_pydicom():
        for element in image:
            if element.tag.group != _PIXELS:
                header.add(element)
        for keyword in _EMPTY_IF_ABSENT:
            header.setdefault(keyword, None)
        if not header.get("SliceThickness"):
            header.pop("SliceThickness", None)  # its element belongs to the image, which must stay as it is
            header.SliceThickness = format_number_as_ds(step_mm)
    return header


def lay_on(label: Volume, grid: Grid | Volume) -> Volume:
    """Permute and flip a label's axes onto a grid that has the same voxel centres; no voxel is changed.

    Unlike ``lib.imaging.geometry.along`` it asks no axis which body direction it is nearest to, so that it also holds
    where an axis lies halfway between two.

    Raises:
        GeometryError: When the label lies anywhere else.
    """
    step = np.linalg.inv(grid.affine[:3, :3]) @ label.affine[:3, :3]
    turn = np.rint(step)
    if np.abs(step - turn).max() > _SIGNED or not _permutes(turn):
        msg = "the label's axes are not those of the image, permuted or flipped; expected a label drawn on its grid"
        raise GeometryError(msg)
    axes = [int(np.flatnonzero(turn[axis])[0]) for axis in range(AXES)]
    data = np.transpose(label.data, axes)
    affine = label.affine.copy()
    affine[:3, :3] = label.affine[:3, axes]
    for axis in range(AXES):
        if turn[axis, axes[axis]] < 0:
            data = np.flip(data, axis)
            affine[:3, 3] += affine[:3, axis] * (data.shape[axis] - 1)
            affine[:3, axis] *= -1
    check_same_grid(Volume(data=data, affine=affine), grid, tolerance_mm=GRID_MM)
    return Volume(data=np.ascontiguousarray(data), affine=grid.affine)


def _permutes(turn: NDArray[np.float64]) -> bool:
    return bool((np.abs(turn).sum(axis=0) == 1).all() and (np.abs(turn).sum(axis=1) == 1).all())
