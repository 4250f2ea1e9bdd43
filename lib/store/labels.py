"""What a submitted label means: which value is which structure, which were drawn, and whether it fits the image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.domain.errors import BadLabelError, BadRequestError
from lib.domain.structures import BACKGROUND, LABEL_VALUES, MASS, STRUCTURE_NAMES, STRUCTURES, structure_names
from lib.imaging.geometry import along, check_same_grid
from lib.imaging.volume import Grid, Volume, read_grid, read_label

DRAWN = "structures"
_MASS = next(name for name, row in STRUCTURES.items() if row.value == MASS)
_HIGHEST = 255
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
    segments = frozenset(filter(None, map(_structure, segment_values(info).values())))
    if segments:
        return segments
    return frozenset({_MASS}) if empty else frozenset(STRUCTURE_NAMES)


def checked_label(
    label_file: Path, grid: Grid, info: Mapping[str, object], *, integers: bool = True
) -> tuple[Volume, frozenset[str]]:
    """Read a submitted label and refuse it unless it fits the image.

    A label whose axes are permuted or flipped against the image's is turned, exactly; nothing is interpolated.

    Args:
        label_file: NIfTI file from a client.
        grid: Of the image that it belongs to.
        info: The client's parameters; ``label_info`` (a list of ``{name, idx}``, as 3D Slicer sends it) says what
            the values mean, ``structures`` which structures were drawn.
        integers: Whether the file must store integers; else whole numbers stored as fractions pass too.

    Returns:
        Values of the structure table on the image's grid, and the structures that were drawn.

    Raises:
        BadImageError: When the file is not a NIfTI image.
        BadLabelError: When a value has no meaning, the file does not store integers, or a structure is present that
            was said not to be drawn.
        GeometryError: When it lies on another grid.
    """
    if integers and not read_grid(label_file).integer:
        msg = "the label file stores fractions (floating point, or scaled integers); expected integers, e.g. uint8"
        raise BadLabelError(msg)
    segments = segment_values(info)
    label = along(read_label(label_file, frozenset({BACKGROUND, *segments}) if segments else LABEL_VALUES), grid)
    check_same_grid(label, grid)
    data = _by_name(label.data.astype(np.uint8), segments)
    drawn = drawn_structures(info, empty=not data.any())
    for name in sorted(STRUCTURES.keys() - drawn):
        if (data == STRUCTURES[name].value).any():
            msg = f"the label holds {name!r}, which is not among the structures said to be drawn: {sorted(drawn)}"
            raise BadLabelError(msg)
    return Volume(data=data, affine=grid.affine), drawn


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
        if not 0 < number <= _HIGHEST:
            msg = f"a segment has the value {number}; expected 1 to {_HIGHEST}"
            raise BadLabelError(msg)
    return {number: str(entry.get("name", "")) for number, entry in zip(numbers, entries, strict=True)}


def _structure(segment: str) -> str | None:
    """The structure that a segment's name means, however it is capitalised; None when it means none."""
    name = _COPY.sub("", segment.strip().lower())
    return name if name in STRUCTURES else None


def _by_name(data: NDArray[np.uint8], segments: Mapping[int, str]) -> NDArray[np.uint8]:
    """Renumber values by segment name, where the client says which value is which."""
    table = np.arange(_HIGHEST + 1, dtype=np.uint8)
    for value, segment in segments.items():
        structure = _structure(segment)
        if structure:
            table[value] = STRUCTURES[structure].value
        elif (data == value).any():
            msg = f"the label holds a segment whose name is unknown; expected one of: {', '.join(STRUCTURES)}"
            raise BadLabelError(msg)
    return table[data]
