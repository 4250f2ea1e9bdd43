"""The structures a label may hold, in the KiTS order; values run 1..N without gaps (Slicer needs that)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lib.domain.errors import UnknownStructureError

BACKGROUND = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureSpec:
    """One row of the table.

    Attributes:
        name: Key on the wire and in label records.
        value: Voxel value in a label.
        colour: Display colour, sRGB 0-255.
    """

    name: str
    value: int
    colour: tuple[int, int, int]


STRUCTURES: dict[str, StructureSpec] = {
    row.name: row
    for row in (
        StructureSpec(name="kidney", value=1, colour=(215, 130, 90)),
        StructureSpec(name="mass", value=2, colour=(230, 40, 60)),
        StructureSpec(name="cyst", value=3, colour=(60, 140, 230)),
    )
}
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
