"""Whether a submitted label fits its image, and which value is which structure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.domain.drawn import HIGHEST_VALUE, drawn_structures, segment_values, structure_of
from lib.domain.errors import BadLabelError
from lib.domain.structures import BACKGROUND, LABEL_VALUES, STRUCTURES
from lib.imaging.geometry import along, check_same_grid
from lib.imaging.volume import Grid, Volume, read_grid, read_label


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


def _by_name(data: NDArray[np.uint8], segments: Mapping[int, str]) -> NDArray[np.uint8]:
    """Renumber values by segment name, where the client says which value is which."""
    table = np.arange(HIGHEST_VALUE + 1, dtype=np.uint8)
    for value, segment in segments.items():
        structure = structure_of(segment)
        if structure:
            table[value] = STRUCTURES[structure].value
        elif (data == value).any():
            msg = f"the label holds a segment whose name is unknown; expected one of: {', '.join(STRUCTURES)}"
            raise BadLabelError(msg)
    return table[data]
