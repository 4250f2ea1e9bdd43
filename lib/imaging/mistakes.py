"""Where a label is wrong, and where a reader would click first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lib.imaging.lesions import components


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mistake:
    """One connected region in which a mask differs from the truth.

    Attributes:
        missing: Whether the region should be in the mask; False when it should not.
        voxels: How large it is.
        centre: Its innermost voxel: the farthest from the region's border.
    """

    missing: bool
    voxels: int
    centre: tuple[int, int, int]


def mistakes(
    mask: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: tuple[float, float, float], most: int = 1
) -> list[Mistake]:
    """The largest mistakes of a mask, largest first.

    Args:
        mask: What is to be judged, on axes (i, j, k).
        truth: What it should be, on the same grid.
        spacing_mm: Voxel edge lengths.
        most: At most so many are returned.
    """
    found = [
        (int(size), missing, box, numbered[box] == number)
        for missing, wrong in ((True, truth & ~mask), (False, mask & ~truth))
        for numbered, count in (components(wrong),)
        for number, (size, box) in enumerate(
            zip(np.bincount(numbered.ravel())[1:], ndimage.find_objects(numbered, count), strict=True), start=1
        )
    ]
    found.sort(key=lambda one: -one[0])
    return [
        Mistake(missing=missing, voxels=size, centre=_innermost(region, box, spacing_mm))
        for size, missing, box, region in found[:most]
    ]


def _innermost(
    region: NDArray[np.bool_], box: tuple[slice, ...], spacing_mm: tuple[float, float, float]
) -> tuple[int, int, int]:
    depth = ndimage.distance_transform_edt(np.pad(region, 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    i, j, k = (
        int(at) + edge.start for at, edge in zip(np.unravel_index(depth.argmax(), depth.shape), box, strict=True)
    )
    return i, j, k
