"""A label as DICOM SEG: one segment a structure, or one a mass, on the very images that it was drawn on.

Slices travel by SOP instance UID: a label is first laid on the voxels that the images' headers describe, and refused
if it does not fit; then each plane goes to its own image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from lib.domain.errors import BadDicomError, BadLabelError
from lib.domain.structures import KIDNEY, LABEL_VALUES, MASS, SIDES, STRUCTURES, StructureSpec, structure_names
from lib.imaging.volume import Volume
from lib.ingest.dicom_masses import sides_of, tracked_masses
from lib.ingest.dicom_origin import EQUIPMENT, Origin, uid_of
from lib.ingest.dicom_planes import Planes, lay_on, planes_of
from lib.ingest.dicom_slices import UNREADABLE, quiet_pydicom
from lib.ingest.dicomseg_codes import cielab, concept

_SERIES_OFFSET = 9000  # a SEG's series number: the source's and this
_NO_SIDE = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Segment:
    """A segment to be: its voxels, and what is said of it."""

    spec: StructureSpec
    mask: NDArray[np.bool_]
    title: str
    sides: frozenset[str] = frozenset()
    tracking: tuple[str, str] | None = None


def write_seg(
    label: Volume,
    series: Sequence[Dataset],
    *,
    drawn: Iterable[str],
    origin: Origin,
    each_mass: bool = False,
) -> Segmentation:
    """Write a label as DICOM SEG.

    Every structure that was drawn or is there becomes a segment. A segment without voxels is a statement too ("no
    mass"); it has frames then, since viewers fail on one that has none: all planes of all segments are written as soon
    as one of them is empty, else only the planes that hold something.

    Args:
        label: Values of the structure table on the image's grid, its axes in any order and direction.
        series: Images of the volume that it was drawn on, and no other; pixels are not needed.
        drawn: Names of the structures that were looked for.
        origin: Who made it.
        each_mass: Whether each connected mass becomes a segment, with tracking id and side of its own, as
            measurements need it; else all masses are one.

    Raises:
        BadDicomError: When the images are not one whole volume, or DICOM has no place for what their headers say.
        GeometryError: When the label does not lie on the images.
        BadLabelError: When it holds other values than the table's, or nothing was drawn and nothing is there.
        UnknownStructureError: When a name is not in the table.
    """
    planes = planes_of(series)
    laid = lay_on(_checked(label), planes.grid)
    segments = _segments(laid, structure_names(drawn), planes.series_uid, each_mass=each_mass)
    try:
        with quiet_pydicom():
            return _written(laid, planes, segments, origin)
    except UNREADABLE as error:
        msg = f"no DICOM SEG can be made on this series ({type(error).__name__}); expected complete MR headers"
        raise BadDicomError(msg) from None


def _written(label: Volume, planes: Planes, segments: Sequence[_Segment], origin: Origin) -> Segmentation:
    numbers = np.zeros(label.shape, np.uint16)
    for number, segment in enumerate(segments, start=1):
        numbers[segment.mask] = number
    identity = hashlib.sha256(numbers.tobytes()).hexdigest()
    content = (planes.series_uid, *(one.title for one in segments), identity, repr(origin))
    written = Segmentation(
        source_images=list(planes.images),
        pixel_array=_in_order_of_images(numbers, planes),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(n, one, origin) for n, one in enumerate(segments, start=1)],
        series_instance_uid=uid_of("seg series", *content),
        series_number=_SERIES_OFFSET + (planes.slices[0].series_number or 0),
        sop_instance_uid=uid_of("seg", *content),
        instance_number=1,
        omit_empty_frames=all(one.mask.any() for one in segments),
        content_label="RENAL",
        content_description="Kidneys, renal masses and cysts",
        content_creator_name=origin.person_name,
        series_description=f"Renal segmentation, {'label' if origin.reader else 'proposal'}",
        **EQUIPMENT,
    )
    origin.stamp(written)
    _fix_dimension_uid(written, uid_of("seg dimensions", *content))
    return written


def _checked(label: Volume) -> Volume:
    unknown = sorted(set(np.unique(label.data).tolist()) - LABEL_VALUES)
    if unknown:
        msg = f"the label holds the value {unknown[0]:g}; expected integers out of {sorted(LABEL_VALUES)}"
        raise BadLabelError(msg)
    return Volume(data=label.data.astype(np.uint8), affine=label.affine)


def _segments(label: Volume, drawn: frozenset[str], series_uid: str, *, each_mass: bool) -> list[_Segment]:
    found: list[_Segment] = []
    for name, spec in STRUCTURES.items():
        mask = label.data == spec.value
        if name not in drawn and not mask.any():
            continue
        if spec.value == MASS and each_mass and mask.any():
            found += _one_a_mass(label, spec, series_uid)
        else:
            sides = frozenset() if spec.value == KIDNEY else sides_of(label, spec.value)
            found.append(_Segment(spec=spec, mask=mask, title=spec.title, sides=sides))
    if not found:
        msg = "nothing was drawn and the label is empty; expected at least one structure that was looked for"
        raise BadLabelError(msg)
    return found


def _one_a_mass(label: Volume, spec: StructureSpec, series_uid: str) -> list[_Segment]:
    return [
        _Segment(
            spec=spec,
            mask=mass.mask,
            title=f"{spec.title} {mass.number}",
            sides=frozenset({mass.measured.side}),
            tracking=(mass.tracking_id, mass.tracking_uid),
        )
        for mass in tracked_masses(label, series_uid)
    ]


def _description(number: int, segment: _Segment, origin: Origin) -> SegmentDescription:
    spec, side = segment.spec, _side(segment.sides)
    identifier, uid = segment.tracking or (None, None)
    item = SegmentDescription(
        segment_number=number,
        segment_label=segment.title,
        segmented_property_category=concept(spec.category),
        segmented_property_type=concept(spec.kind),
        algorithm_type=origin.algorithm_type,
        algorithm_identification=origin.identification(),
        anatomic_regions=[concept(spec.region)] if spec.region else None,
        tracking_id=identifier,
        tracking_uid=uid,
    )
    if side:
        kind, modifier = item.SegmentedPropertyTypeCodeSequence[0], concept(SIDES[side])
        kind.SegmentedPropertyTypeModifierCodeSequence = [modifier]
        if spec.region:
            item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [modifier]
    item.RecommendedDisplayCIELabValue = list(cielab(spec.colour))
    return item


def _side(sides: frozenset[str]) -> str:
    """Key in SIDES; empty when the side of any part cannot be told."""
    if not sides or _NO_SIDE in sides:
        return ""
    return next(iter(sides)) if len(sides) == 1 else "both"


def _in_order_of_images(numbers: NDArray[np.uint16], planes: Planes) -> NDArray[np.uint16]:
    """Planes as highdicom takes them: one (row, column) array an image, or a frame, in the order of those."""
    pixels = numbers.transpose(2, 1, 0)
    if planes.enhanced:
        pixels = pixels[np.argsort([one.frame or 0 for one in planes.slices])]
    return np.ascontiguousarray(pixels)


def _fix_dimension_uid(written: Dataset, uid: str) -> None:
    """Replace the one UID that highdicom draws by lot."""
    for item in (*written.DimensionOrganizationSequence, *written.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
