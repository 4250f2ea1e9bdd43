"""What of a network's answer is taken over: only what lies at a click, and every click holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lib.domain.clicks import Click
from lib.domain.structures import BACKGROUND, STRUCTURES
from lib.imaging.lesions import components

REACH_MM = 32.0  # nothing changes farther from every click
AT_CLICK_MM = 6.0  # a region of change counts as the click's when it comes so near

Label = NDArray[np.uint8]
Spacing = tuple[float, float, float]


def taken_over(label: Label, answer: Label, clicks: Sequence[Click], spacing_mm: Spacing) -> Label:
    """Change a label where an answer differs from it, at the clicks and nowhere else.

    Clicks for a structure only let it grow, those against it only let it shrink: by whole connected regions that come
    near such a click. A structure that nobody clicked changes only where a clicked one takes its place or leaves it.

    Args:
        label: As it is, values of the structure table.
        answer: As the network would have it, on the same grid.
        clicks: On that grid.
        spacing_mm: Voxel edge lengths.
    """
    result = label.copy()
    for name, inside in dict.fromkeys((click.structure, click.inside) for click in clicks):
        value = STRUCTURES[name].value
        distance = _distance_mm(
            label.shape, [click for click in clicks if (click.structure, click.inside) == (name, inside)], spacing_mm
        )
        change = ((label == value) != (answer == value)) & ((answer == value) == inside) & (distance <= REACH_MM)
        numbered, _ = components(change)
        near = np.unique(numbered[change & (distance <= AT_CLICK_MM)])
        taken = np.isin(numbered, near[near > 0])
        result[taken] = answer[taken]
    return result


def held(label: Label, clicks: Collection[Click]) -> Label:
    """Let every clicked voxel be what its click says; what loses its structure becomes as its neighbours.

    Args:
        label: Values of the structure table.
        clicks: Whole voxels on its grid, without contradictions.
    """
    result = label.copy()
    for click in clicks:
        i, j, k = (round(at) for at in click.at)
        value = STRUCTURES[click.structure].value
        if click.inside:
            result[i, j, k] = value
        elif result[i, j, k] == value:
            around = result[max(0, i - 1) : i + 2, max(0, j - 1) : j + 2, max(0, k - 1) : k + 2]
            others = np.bincount(around[around != value].ravel(), minlength=1)
            result[i, j, k] = int(others.argmax()) if others.any() else BACKGROUND
    return result


def _distance_mm(shape: tuple[int, ...], clicks: Sequence[Click], spacing_mm: Spacing) -> NDArray[np.float64]:
    """Distance of every voxel from the nearest click."""
    away = np.ones(shape, dtype=bool)
    for click in clicks:
        away[tuple(round(at) for at in click.at)] = False
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(away, sampling=spacing_mm)
    return distance
