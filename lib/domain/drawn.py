"""What a label's record says: which structures were drawn, and which value is which."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lib.domain.errors import BadLabelError, BadRequestError
from lib.domain.structures import MASS, STRUCTURE_NAMES, STRUCTURES, structure_names

DRAWN = "structures"
HIGHEST_VALUE = 255
_MASS = next(name for name, row in STRUCTURES.items() if row.value == MASS)
_COPY = re.compile(r"[ _]\d+$")  # a viewer's second segment of a name: "mass_1"


def drawn_structures(info: Mapping[str, object], *, empty: bool = False) -> frozenset[str]:
    """Tell from a label's record which structures were drawn.

    An explicit ``structures`` entry wins, then the segment names of ``label_info``. A label that says neither was
    drawn completely, unless it is empty: "nothing here" is said about the mass, not about the kidneys.

    Args:
        info: The client's parameters, or a stored record.
        empty: Whether the label holds no voxel.

    Raises:
        BadRequestError: When the entry is not a list of names.
        UnknownStructureError: When a name is not in the table.
    """
    if DRAWN in info:
        names = info[DRAWN]
        if not isinstance(names, Sequence) or isinstance(names, str) or not all(isinstance(n, str) for n in names):
            msg = f"{DRAWN!r} is {type(names).__name__}; expected a list of names out of {', '.join(STRUCTURES)}"
            raise BadRequestError(msg)
        return structure_names(names)
    segments = frozenset(filter(None, map(structure_of, segment_values(info).values())))
    if segments:
        return segments
    return frozenset({_MASS}) if empty else frozenset(STRUCTURE_NAMES)


def segment_values(info: Mapping[str, object]) -> dict[int, str]:
    """Segment names by their value in the file, as a viewer describes them in ``label_info``.

    3D Slicer numbers its file by the order of the segments and says so in ``idx``; without usable numbers the order
    itself counts.

    Raises:
        BadLabelError: When a number cannot be a voxel value.
    """
    listed = info.get("label_info")
    entries = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    stated = [entry.get("idx") for entry in entries]
    numbers = [number for number in stated if isinstance(number, int)]
    if len(set(numbers)) != len(entries):
        numbers = list(range(1, len(entries) + 1))
    for number in numbers:
        if not 0 < number <= HIGHEST_VALUE:
            msg = f"a segment has the value {number}; expected 1 to {HIGHEST_VALUE}"
            raise BadLabelError(msg)
    return {number: str(entry.get("name", "")) for number, entry in zip(numbers, entries, strict=True)}


def structure_of(segment: str) -> str | None:
    """The structure that a segment's name means, however it is capitalised; None when it means none."""
    name = _COPY.sub("", segment.strip().lower())
    return name if name in STRUCTURES else None
