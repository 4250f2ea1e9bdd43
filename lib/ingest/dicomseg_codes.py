"""What a segment of a DICOM SEG means: from the structure table into codes, and back from anybody's codes and names."""

from __future__ import annotations

import re
<<<<<<< HEAD
from typing import cast
=======
from typing import Any
>>>>>>> dicomseg

from highdicom.color import CIELabColor
from highdicom.sr import CodedConcept
from PIL import Image, ImageCms
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as DicomCode

from lib.domain.errors import BadLabelError
from lib.domain.structures import ABNORMAL, ANATOMY, KIDNEY_REGION, STRUCTURES, Code

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_ELSEWHERE = frozenset({"liver", "hepatic", "adrenal", "spleen", "splenic", "pancreas", "pancreatic", "node", "nodes"})
# Codes that say nothing: what OHIF, dcmjs and Slicer write when nobody chose one.
_GENERIC = (
    ANATOMY,
    ABNORMAL,
    Code(value="85756007", meaning="Tissue"),
    Code(value="91723000", meaning="Anatomical Structure"),
    Code(value="113343008", meaning="Organ"),
)
_REGIONS = (KIDNEY_REGION, *STRUCTURES["kidney"].also)
_KIDNEY = "kidney"


def concept(code: Code) -> CodedConcept:
    """The code as highdicom takes it."""
    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def cielab(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """An sRGB colour in DICOM's encoding of CIELab, through colour profiles: L*, a* and b* for white point D50."""
    pixel = Image.new("RGB", (1, 1), colour)
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
<<<<<<< HEAD
    lab = cast("Image.Image", ImageCms.profileToProfile(pixel, *profiles, outputMode="LAB"))
    lightness, a_star, b_star = cast("tuple[int, int, int]", lab.getpixel((0, 0)))  # 0 to 255; a* and b* with 128 added
    first, second, third = CIELabColor(lightness / 255 * 100, a_star - 128, b_star - 128).value
    return int(first), int(second), int(third)
=======
    lab: Any = ImageCms.profileToProfile(pixel, *profiles, outputMode="LAB")
    lightness, a_star, b_star = lab.getpixel((0, 0))  # 0 to 255; a* and b* with 128 added
    encoded = CIELabColor(lightness / 255 * 100, a_star - 128, b_star - 128).value
    return encoded[0], encoded[1], encoded[2]
>>>>>>> dicomseg


def structure_of(segment: Dataset) -> str | None:
    """Tell which structure a segment is, by its code and its name.

    A code of the table or of other software's decides; a code that says nothing leaves it to the name; any other code
    and any other region are somebody else's. Of a name the most special word counts: a kidney tumour is a mass.

    Args:
        segment: Item of the Segment Sequence.

    Returns:
        Name in STRUCTURES; None when it is none of them.

    Raises:
        BadLabelError: When code and name contradict each other.
    """
    if any(not _is_one_of(region, _REGIONS) for region in segment.get("AnatomicRegionSequence") or []):
        return None
    kinds = list(segment.get("SegmentedPropertyTypeCodeSequence") or [])
    coded = {name for name, row in STRUCTURES.items() if any(_is_one_of(kind, (row.kind, *row.also)) for kind in kinds)}
    if not coded and any(not _is_one_of(kind, _GENERIC) for kind in kinds):
        return None
    named = _named(str(segment.get("SegmentLabel", "")))
    if len(coded | named) > 1:
        both = " and ".join(sorted(coded | named))
        msg = f"segment {segment.SegmentNumber} is {both} by its code and name; expected one of them"
        raise BadLabelError(msg)
    return next(iter(coded | named), None)


def _named(label: str) -> set[str]:
    words = {word.lower() for word in _WORD.findall(label)}
    if words & _ELSEWHERE:
        return set()
    found = {name for name, row in STRUCTURES.items() if words & set(row.words)}
    return found - {_KIDNEY} if len(found) > 1 else found


def _is_one_of(item: Dataset, codes: tuple[Code, ...]) -> bool:
    """Compare by value and scheme; pydicom knows which retired SNOMED RT code is which SNOMED CT one."""
    seen = DicomCode(str(item.get("CodeValue", "")), str(item.get("CodingSchemeDesignator", "")), "")
    return any(seen == DicomCode(code.value, code.scheme, "") for code in codes)
