"""A DICOM SEG of anybody as a label, only if it proves to lie on the series.

It must be in the frame of reference of the series, have its rows, columns, spacing and orientation, and each frame
must lie on one of its planes: by position, by the image that it refers to, and by both where it has both. Headers
that contradict each other are how a flipped one is told; one whose pixels alone were flipped shows no sign of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from lib.domain.errors import BadDicomError, BadLabelError
from lib.domain.structures import STRUCTURES
from lib.imaging.volume import Volume
from lib.ingest.dicom_planes import Planes, planes_of
from lib.ingest.dicom_slices import UNREADABLE, quiet_pydicom
from lib.ingest.dicomseg_codes import structure_of
from lib.ingest.dicomseg_frames import Frame, check_frames, frames_of

SEGMENTATION, LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"
PAINTED = ("kidney", "cyst", "mass")  # in this order: where segments overlap, the later one stays
_BINARY, _FRACTIONAL, _LABELS = "BINARY", "FRACTIONAL", "LABELMAP"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegLabel:
    """What a SEG says.

    Attributes:
        label: Values of the structure table on axes (column, row, plane) of the series; ``lay_on`` brings it onto an
            image's.
        drawn: Structures that have a segment, be it empty.
        overlaps: Voxels that more than one structure claims; the mass stays before the cyst, the cyst before the
            kidney.
    """

    label: Volume
    drawn: frozenset[str]
    overlaps: int


def read_seg(dataset: Dataset, series: Sequence[Dataset]) -> SegLabel:
    """Take a SEG as a label of a series.

    Segments are known by code and name (``structure_of``); several of one structure are joined. One that is none of
    ours is left out when it is empty.

    Args:
        dataset: A Segmentation, binary, or fractional with nothing between 0 and 1, or a label map.
        series: Images of one volume; pixels are not needed.

    Raises:
        BadDicomError: When it is no SEG, cannot be decoded, or does not prove to lie on the series; the reason says
            what contradicts.
        BadLabelError: When a segment with voxels is none of ours, or its code and name contradict each other.
    """
    planes = planes_of(series)
    try:
        with quiet_pydicom():
            return _read(dataset, planes)
    except (*UNREADABLE, RuntimeError) as error:  # the latter when nothing can decode its pixels
        msg = f"the segmentation cannot be read ({type(error).__name__}); expected a whole DICOM SEG"
        raise BadDicomError(msg) from None


def _read(dataset: Dataset, planes: Planes) -> SegLabel:
    kind = _kind(dataset)
    frames = frames_of(dataset, planes, numbered=kind != _LABELS)
    check_frames(dataset, frames)
    meanings = {int(item.SegmentNumber): structure_of(item) for item in dataset.SegmentSequence}
    masks = _masks(_pixels(dataset, kind), frames, meanings, planes, numbered=kind != _LABELS)
    label = np.zeros(planes.grid.shape, np.uint8)
    for name in PAINTED:
        if name in masks:
            label[masks[name]] = STRUCTURES[name].value
    claims = np.sum(list(masks.values()), axis=0, dtype=np.uint8) if masks else label
    return SegLabel(
        label=Volume(data=label, affine=planes.grid.affine),
        drawn=frozenset(masks),
        overlaps=int(np.count_nonzero(claims > 1)),
    )


def _kind(dataset: Dataset) -> str:
    if dataset.get("SOPClassUID") not in (SEGMENTATION, LABEL_MAP):
        msg = f"the object is a {dataset.get('Modality', 'nameless')!s:.16} object; expected a DICOM SEG"
        raise BadDicomError(msg)
    kind = str(dataset.get("SegmentationType", ""))
    if kind not in (_BINARY, _FRACTIONAL, _LABELS):
        msg = f"the segmentation's type is none of {_BINARY}, {_FRACTIONAL} and {_LABELS}; expected one of them"
        raise BadDicomError(msg)
    return kind


def _pixels(dataset: Dataset, kind: str) -> NDArray[np.integer]:
    """All frames, as they are stored, on axes (frame, row, column); a fractional one as 0 and 1."""
    decoded = _packed_rle(dataset) if _is_packed_rle(dataset) else dataset.pixel_array
    pixels: NDArray[np.integer] = np.reshape(decoded, (-1, dataset.Rows, dataset.Columns))
    if kind == _FRACTIONAL:
        whole = int(dataset.get("MaximumFractionalValue", 255))
        between = int(np.count_nonzero((pixels != 0) & (pixels != whole)))
        if between:
            msg = f"{between} pixels lie between 0 and 1: it holds probabilities; expected what is drawn and what not"
            raise BadDicomError(msg)
    return pixels if kind == _LABELS else (pixels != 0).astype(np.uint8)


def _is_packed_rle(dataset: Dataset) -> bool:
    return dataset.BitsAllocated == 1 and dataset.file_meta.TransferSyntaxUID == RLELossless


def _packed_rle(dataset: Dataset) -> NDArray[np.uint8]:
    """Bits in bytes, each frame compressed by itself, as dcmjs (OHIF) writes them; pydicom decodes whole bytes only."""
    voxels = int(dataset.Rows) * int(dataset.Columns)
    frames = Dataset()
    frames.file_meta, frames.PixelData = dataset.file_meta, dataset.PixelData
    frames.is_little_endian, frames.is_implicit_VR = True, False
    frames.NumberOfFrames, frames.Rows, frames.Columns = dataset.NumberOfFrames, 1, -(-voxels // 8)
    frames.SamplesPerPixel, frames.PhotometricInterpretation = 1, dataset.PhotometricInterpretation
    frames.BitsAllocated, frames.PixelRepresentation = 8, 0
    packed = np.reshape(frames.pixel_array, (-1, frames.Columns))
    return np.unpackbits(packed, axis=1, bitorder="little")[:, :voxels]


def _masks(
    pixels: NDArray[np.integer],
    frames: Sequence[Frame],
    meanings: dict[int, str | None],
    planes: Planes,
    *,
    numbered: bool,
) -> dict[str, NDArray[np.bool_]]:
    """One mask a structure that has a segment.

    Raises:
        BadLabelError: When a voxel belongs to a segment that is not described, or is none of ours.
    """
    masks = {name: np.zeros(planes.grid.shape, bool) for name in meanings.values() if name}
    for frame, image in zip(frames, pixels, strict=True):
        values = [frame.segment] if numbered else [value for value in np.unique(image).tolist() if value]
        for number in values:
            drawn = image == (1 if numbered else number)
            if name := meanings.get(number):
                masks[name][:, :, frame.plane] |= drawn.T
            elif drawn.any():
                msg = f"segment {number} is none of {', '.join(STRUCTURES)} by its code and name, and is not empty"
                raise BadLabelError(msg)
    return masks
