"""How unsure a network is of each structure of one image.

Each structure is judged by itself, per voxel in which it is plausible: the edge of two big kidneys cannot outvote a
mass of one centimetre. Whatever lies outside the kidney boxes is background with certainty, and adds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

JUDGED = ("mass", "kidney")  # in the order in which they are asked for
_BALL_MM3 = math.pi / 6 * 10.0**3  # of 1 cm: a doubt about less counts less
_PLAUSIBLE = 0.1  # least probability of the structure in a voxel that is looked at


def uncertainty(
    probabilities: NDArray[np.floating], structures: Sequence[str], spacing_mm: tuple[float, float, float]
) -> dict[str, float]:
    """Mean entropy of every judged structure against the rest, where it is plausible.

    Args:
        probabilities: Of the classes (classes, i, j, k); background first, then the structures.
        structures: Names of the classes after background.
        spacing_mm: Voxel edge lengths.

    Returns:
        For each judged structure among the classes, its binary entropy summed over the voxels in which its
        probability is at least 0.1 (bits x mm³), over the volume of these plus that of a ball of 1 cm (mm³): 0 when
        the network is certain, also of there being none; 1 at most.

    Raises:
        ValueError: When there is not one class for background and each structure.
    """
    if len(probabilities) != 1 + len(structures):
        msg = f"probabilities of {len(probabilities)} classes; expected background and {len(structures)} structures"
        raise ValueError(msg)
    voxel_mm3 = math.prod(spacing_mm)
    found = {}
    for name in JUDGED:
        if name in structures:
            chance = probabilities[1 + structures.index(name)]
            bits = _entropy_bits(chance[chance >= _PLAUSIBLE].astype(np.float64))
            found[name] = float(bits.sum()) * voxel_mm3 / (bits.size * voxel_mm3 + _BALL_MM3)
    return found


def _entropy_bits(chance: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(chance, 1e-9, 1 - 1e-9)
    bits: NDArray[np.float64] = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    return bits
