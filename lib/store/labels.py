"""Which structures a reader drew, and the label file on the image's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.domain.errors import BadLabelError, BadRequestError
from lib.domain.structures import MASS, STRUCTURE_NAMES, STRUCTURES, structure_names
from lib.imaging.geometry import check_same_grid
from lib.imaging.volume import Volume, read_label, read_volume

DRAWN = "structures"
_MASS = next(name for name, row in STRUCTURES.items() if row.value == MASS)


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
    segments = frozenset(_segments(info)) & STRUCTURES.keys()
    if segments:
        return segments
    return frozenset({_MASS}) if empty else frozenset(STRUCTURE_NAMES)


def checked_label(label_file: Path, image_file: Path, info: Mapping[str, object]) -> tuple[Volume, frozenset[str]]:
    """Read a submitted label and refuse it unless it fits the image.

    Args:
        label_file: NIfTI file from a client.
        image_file: The image it belongs to.
        info: The client's parameters; ``label_info`` (a list of ``{name, idx}``, as 3D Slicer sends it) says what
            the values mean, ``structures`` which structures were drawn.

    Returns:
        Values of the structure table on the image's grid, and the structures that were drawn.

    Raises:
        BadImageError: When the file is not a NIfTI image.
        BadLabelError: When a value has no meaning, or a structure is present that was said not to be drawn.
        GeometryError: When it lies on another grid.
    """
    label = read_label(label_file)
    check_same_grid(label, read_volume(image_file))
    data = _by_name(label.data.astype(np.uint8), _segments(info))
    drawn = drawn_structures(info, empty=not data.any())
    for name in sorted(STRUCTURES.keys() - drawn):
        if (data == STRUCTURES[name].value).any():
            msg = f"the label holds {name!r}, which is not among the structures said to be drawn: {sorted(drawn)}"
            raise BadLabelError(msg)
    return Volume(data=data, affine=label.affine), drawn


def _segments(info: Mapping[str, object]) -> dict[str, int]:
    """Segment names with their values in the file, as 3D Slicer's plugin describes them."""
    listed = info.get("label_info")
    entries = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    return {str(entry.get("name")): entry["idx"] for entry in entries if isinstance(entry.get("idx"), int)}


def _by_name(data: NDArray[np.uint8], segments: Mapping[str, int]) -> NDArray[np.uint8]:
    """Renumber values by segment name, where the client says which value is which."""
    table = np.arange(256, dtype=np.uint8)
    for name, value in segments.items():
        if not 0 < value < len(table):
            msg = f"a segment has the value {value}; expected 1 to 255"
            raise BadLabelError(msg)
        if name in STRUCTURES:
            table[value] = STRUCTURES[name].value
        elif (data == value).any():
            msg = f"the label holds a segment whose name is unknown; expected one of: {', '.join(STRUCTURES)}"
            raise BadLabelError(msg)
    return table[data]
