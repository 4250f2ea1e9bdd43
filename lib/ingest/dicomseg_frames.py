"""Where each frame of a DICOM SEG lies in a series, and the proof that it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from lib.domain.errors import BadDicomError
from lib.ingest.dicom_planes import GRID_MM, Planes

_SAME_COSINE = 1e-3
_SAME_SPACING = 1e-3  # as a share
_DIRECTIONS = {  # by the signs of the directions of a row and of a column against the series'
    (-1, 1): "its rows run the other way than those of the series: it is mirrored left to right",
    (1, -1): "its columns run the other way than those of the series: it is mirrored top to bottom",
    (-1, -1): "its rows and columns run the other way than those of the series: it is turned by half a turn",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame.

    Attributes:
        segment: Its number; 0 in a label map.
        plane: Number of the plane from 0, in the order of the series' planes.
    """

    segment: int
    plane: int


def frames_of(dataset: Dataset, planes: Planes, *, numbered: bool) -> list[Frame]:
    """Find the plane of each frame.

    Args:
        dataset: The SEG.
        planes: Of the series.
        numbered: Whether each frame belongs to one segment; not so in a label map.

    Raises:
        BadDicomError: When the SEG as a whole, or one of its frames, does not lie on the series.
    """
    _check_series(dataset, planes)
    own = dataset.PerFrameFunctionalGroupsSequence
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or []), Dataset())
    if len(own) != int(dataset.NumberOfFrames):
        msg = f"it describes {len(own)} frames and has {int(dataset.NumberOfFrames)}; expected as many"
        raise BadDicomError(msg)
    for number, groups in enumerate(own, start=1):
        _check_orientation(_group(groups, shared, "PlaneOrientationSequence"), planes, number)
        _check_spacing(_group(groups, shared, "PixelMeasuresSequence"), planes, number)
    places = _places(own, shared, planes)
    segments = [_segment(_group(groups, shared, "SegmentIdentificationSequence")) if numbered else 0 for groups in own]
    return [Frame(segment=segment, plane=plane) for segment, plane in zip(segments, places, strict=True)]


def check_frames(dataset: Dataset, frames: Sequence[Frame]) -> None:
    """Refuse frames of segments that are not described, and two of one segment on one plane.

    Raises:
        BadDicomError: When there are any.
    """
    described = {int(item.SegmentNumber) for item in dataset.SegmentSequence}
    if len(described) != len(dataset.SegmentSequence):
        msg = f"{len(dataset.SegmentSequence)} segments have {len(described)} numbers; expected one each"
        raise BadDicomError(msg)
    if unknown := {frame.segment for frame in frames} - described - {0}:
        msg = f"a frame belongs to segment {min(unknown)}, which is not described; expected one of {sorted(described)}"
        raise BadDicomError(msg)
<<<<<<< HEAD
    for twice, count in Counter(frames).most_common(1):
        if count == 1:
            break
        msg = f"{count} frames of segment {twice.segment} lie on plane {twice.plane + 1}; expected one at most"
        raise BadDicomError(msg)
=======
    for frame, count in Counter(frames).most_common(1):
        if count > 1:
            msg = f"{count} frames of segment {frame.segment} lie on plane {frame.plane + 1}; expected one at most"
            raise BadDicomError(msg)
>>>>>>> dicomseg


def _check_series(dataset: Dataset, planes: Planes) -> None:
    if str(dataset.get("FrameOfReferenceUID", "")) != planes.frame_of_reference:
        msg = "its frame of reference is not that of the series: it lies in other coordinates"
        raise BadDicomError(msg)
    named = {str(item.SeriesInstanceUID) for item in dataset.get("ReferencedSeriesSequence") or []}
    if named and planes.series_uid not in named:
        msg = f"it refers to {len(named)} series and not to this one: it was drawn on another"
        raise BadDicomError(msg)
    columns, rows, _ = planes.grid.shape
    if (dataset.Rows, dataset.Columns) != (rows, columns):
        msg = f"its frames have {dataset.Rows} rows and {dataset.Columns} columns; expected {rows} and {columns}"
        raise BadDicomError(msg)


def _group(own: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """A functional group of a frame, its own or the one that all share; empty when there is none."""
    return next(iter(own.get(keyword) or shared.get(keyword) or []), Dataset())


def _segment(group: Dataset) -> int:
    if "ReferencedSegmentNumber" not in group:
        msg = "a frame does not say which segment it belongs to; expected a number"
        raise BadDicomError(msg)
    return int(group.ReferencedSegmentNumber)


def _check_orientation(group: Dataset, planes: Planes, number: int) -> None:
    found = _numbers(group, "ImageOrientationPatient", 6)
    if found is None:
        msg = f"frame {number} does not say how it is oriented; expected ImageOrientationPatient"
        raise BadDicomError(msg)
    own = np.array(planes.slices[0].orientation_lps)
    if np.abs(found - own).max() > _SAME_COSINE:
        raise BadDicomError(_turned(found, own, number))


def _turned(found: NDArray[np.float64], own: NDArray[np.float64], number: int) -> str:
    for (row, column), reason in _DIRECTIONS.items():
        if np.abs(found - own * np.repeat((row, column), 3)).max() <= _SAME_COSINE:
            return f"frame {number} contradicts the series: {reason}"
    if np.abs(np.abs(found) - np.abs(np.roll(own, 3))).max() <= _SAME_COSINE:
        return f"frame {number} contradicts the series: its rows run along the columns of the series"
    cosines = np.clip([found[:3] @ own[:3], found[3:] @ own[3:]], -1, 1)
    degrees = np.degrees(np.arccos(cosines)).max()
    return f"frame {number} contradicts the series: its plane is turned by {degrees:.1f} degrees against it"


def _check_spacing(group: Dataset, planes: Planes, number: int) -> None:
    found, own = _numbers(group, "PixelSpacing", 2), np.array(planes.slices[0].pixel_mm)
    if found is None or np.abs(found / own - 1).max() > _SAME_SPACING:
        seen = "no pixel spacing" if found is None else f"pixels of {found[0]:.4g} x {found[1]:.4g} mm"
        msg = f"frame {number} has {seen}; expected {own[0]:.4g} x {own[1]:.4g} mm"
        raise BadDicomError(msg)


def _places(own: Sequence[Dataset], shared: Dataset, planes: Planes) -> list[int]:
    """Number of the plane of each frame."""
    by_position = [_plane_by_position(_group(groups, shared, "PlanePositionSequence"), planes) for groups in own]
    numbers = {(one.sop_uid, one.frame): plane for plane, one in enumerate(planes.slices)}
    by_image = [_planes_by_image(groups, numbers, planes) for groups in own]
    _check_agreement(by_position, by_image, len(planes.slices))
    found = []
    for number, (position, images) in enumerate(zip(by_position, by_image, strict=True), start=1):
        if position is None and (images is None or len(images) != 1):
            count = "no" if not images else len(images)
            msg = f"frame {number} has no position and refers to {count} images; expected a position or one image"
            raise BadDicomError(msg)
        found.append(position if position is not None else min(images or set()))
    return found


def _plane_by_position(group: Dataset, planes: Planes) -> int | None:
    """Number of the plane at a frame's position; None when the frame has none.

    Raises:
        BadDicomError: When no plane of the series lies there.
    """
    found = _numbers(group, "ImagePositionPatient", 3)
    if found is None:
        return None
    positions = np.array([one.position_lps for one in planes.slices])
    distances = np.linalg.norm(positions - found, axis=1)
    plane = int(distances.argmin())
    if distances[plane] > GRID_MM:
        raise BadDicomError(_misplaced(found, planes, float(distances[plane])))
    return plane


def _misplaced(found: NDArray[np.float64], planes: Planes, distance_mm: float) -> str:
    """Say why a position is none of the series', above all when it is that of another corner."""
    columns, rows, _ = planes.grid.shape
    first = planes.slices[0]
    along_row = np.array(first.orientation_lps[:3]) * first.pixel_mm[1] * (columns - 1)
    along_column = np.array(first.orientation_lps[3:]) * first.pixel_mm[0] * (rows - 1)
    corners = {"last column": along_row, "last row": along_column, "last row and column": along_row + along_column}
    for name, shift in corners.items():
        moved = np.array([one.position_lps for one in planes.slices]) + shift
        if np.linalg.norm(moved - found, axis=1).min() <= GRID_MM:
            return f"a frame starts at the {name} of the series' images: it is mirrored"
    return f"a frame lies {distance_mm:.1f} mm away from every image of the series; expected at most {GRID_MM} mm"


def _planes_by_image(groups: Dataset, numbers: dict[tuple[str, int | None], int], planes: Planes) -> set[int] | None:
    """Planes of the images that a frame refers to; None when it refers to none.

    Raises:
        BadDicomError: When it refers to images, and none is of the series.
    """
    named = list(_references(groups, enhanced=planes.enhanced))
    found = {numbers[key] for key in named if key in numbers}
    if named and not found:
        msg = f"a frame refers to {len(named)} images and none is of the series: it was drawn on another"
        raise BadDicomError(msg)
    return found or None


def _references(groups: Dataset, *, enhanced: bool) -> Iterator[tuple[str, int | None]]:
    for derivation in groups.get("DerivationImageSequence") or []:
        for image in derivation.get("SourceImageSequence") or []:
            uid = str(image.get("ReferencedSOPInstanceUID", ""))
            frames = np.atleast_1d(image.get("ReferencedFrameNumber", [])).astype(int).tolist() if enhanced else []
            if not enhanced:
                yield uid, None
            yield from ((uid, frame - 1) for frame in frames)


def _check_agreement(by_position: list[int | None], by_image: list[set[int] | None], count: int) -> None:
    """Refuse frames whose position and whose image are not on one plane: one of the two is flipped.

    Raises:
        BadDicomError: When there are any.
    """
    both = [(one, images) for one, images in zip(by_position, by_image, strict=True) if one is not None and images]
    wrong = [(one, images) for one, images in both if one not in images]
    if not wrong:
        return
    upside_down = all(count - 1 - one in images for one, images in both)
    flipped = ", as if the order of the slices were reversed: it is flipped" if upside_down else ""
    msg = f"{len(wrong)} of {len(both)} frames lie on another plane than the image that they refer to{flipped}"
    raise BadDicomError(msg)


def _numbers(group: Dataset, keyword: str, count: int) -> NDArray[np.float64] | None:
    values = group.get(keyword)
    if values is None or len(values) != count:
        return None
    numbers = np.array([float(value) for value in values])
    return numbers if np.isfinite(numbers).all() else None
