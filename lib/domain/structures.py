"""The structures a label may hold, in the KiTS order; values run 1..N without gaps (Slicer needs that)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lib.domain.errors import UnknownStructureError

BACKGROUND = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A concept of SNOMED CT, as DICOM PS3.16 names it."""

    value: str
    meaning: str
    scheme: str = "SCT"


ANATOMY = Code(value="123037004", meaning="Anatomical Structure")  # CID 7150, as the next
ABNORMAL = Code(value="49755003", meaning="Morphologically Abnormal Structure")
KIDNEY_REGION = Code(value="64033007", meaning="Kidney")  # CID 7151, as the types of the rows
SIDES: dict[str, Code] = {  # CID 244
    "right": Code(value="24028007", meaning="Right"),
    "left": Code(value="7771000", meaning="Left"),
    "both": Code(value="51440002", meaning="Bilateral"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureSpec:
    """One row of the table.

    Attributes:
        name: Key on the wire and in label records.
        value: Voxel value in a label.
        colour: Display colour, sRGB 0-255.
        title: What a viewer shows.
        category: What kind of thing it is; with ``kind`` and ``region`` how DICOM says what a segment is.
        kind: What it is.
        region: Where it lies, when ``kind`` does not say so; a renal mass is a mass in the region of the kidney.
        also: Codes that other software gives to the same.
        words: Words that name it, lower case.
    """

    name: str
    value: int
    colour: tuple[int, int, int]
    title: str
    category: Code
    kind: Code
    region: Code | None = None
    also: tuple[Code, ...] = ()
    words: tuple[str, ...]


STRUCTURES: dict[str, StructureSpec] = {
    row.name: row
    for row in (
        StructureSpec(
            name="kidney", value=1, colour=(215, 130, 90), title="Kidney", category=ANATOMY, kind=KIDNEY_REGION,
            also=(
                Code(value="18639004", meaning="Left kidney"),
                Code(value="9846003", meaning="Right kidney"),
            ),
            words=("kidney", "kidneys", "parenchyma"),
        ),
        StructureSpec(
            name="mass", value=2, colour=(230, 40, 60), title="Renal mass", category=ABNORMAL,
            kind=Code(value="4147007", meaning="Mass"), region=KIDNEY_REGION,
            also=(
                Code(value="108369006", meaning="Neoplasm"),
                Code(value="702391001", meaning="Renal cell carcinoma"),
                Code(value="309088003", meaning="Renal mass"),
            ),
            words=(
                "mass", "masses", "tumor", "tumors", "tumour", "tumours", "neoplasm", "lesion", "lesions", "carcinoma",
                "rcc", "srm",
            ),
        ),
        StructureSpec(
            name="cyst", value=3, colour=(60, 140, 230), title="Renal cyst", category=ABNORMAL,
            kind=Code(value="367643001", meaning="Cyst"), region=KIDNEY_REGION, words=("cyst", "cysts"),
        ),
    )
}  # fmt: skip
STRUCTURE_NAMES: tuple[str, ...] = tuple(STRUCTURES)
LABEL_VALUES: frozenset[int] = frozenset({BACKGROUND, *(row.value for row in STRUCTURES.values())})
KIDNEY, MASS, CYST = (STRUCTURES[name].value for name in ("kidney", "mass", "cyst"))

REGIONS: dict[str, tuple[str, ...]] = {  # structures taken together: KiTS's hierarchical classes
    "kidney_mass_cyst": ("kidney", "mass", "cyst"),
    "mass_cyst": ("mass", "cyst"),
    "mass": ("mass",),
}


def structure_names(names: Iterable[str]) -> frozenset[str]:
    """Check names against the table.

    Raises:
        UnknownStructureError: When a name is not in the table.
    """
    seen = frozenset(names)
    unknown = sorted(seen - STRUCTURES.keys())
    if unknown:
        msg = f"unknown structure {unknown[0]!r}; expected one of: {', '.join(STRUCTURES)}"
        raise UnknownStructureError(msg)
    return seen
