"""What a label costs a simulated reader: looking at the image, and drawing or correcting surfaces.

The cost model is a stand-in for a stop watch: half a minute to look at an image, then time for every voxel of a
structure's surface that has to be drawn, moved or taken away: a contour of 10 mm in a second. A surface that is close to
the right one is left as it is. Whoever would be quicker without the proposal starts from nothing.

``COARSE`` is the reader of the coarse simulations (half a second for a voxel of about 5 x 5 x 6 mm, one voxel is close);
``reader_of`` makes one for other voxels.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lib.imaging.shapes import VALUES

LOOK_S = 30.0
PEN_MM_S = 10.0
CLOSE_MM = 3.0
Labels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reader:
    """How quickly and how exactly a reader draws.

    Attributes:
        voxel_s: Seconds for one voxel of a surface.
        close: Neighbourhood within which a surface counts as right, on axes (i, j, k).
    """

    voxel_s: float
    close: NDArray[np.bool_]


COARSE = Reader(voxel_s=0.5, close=np.ones((3, 3, 3), bool))


def reader_of(spacing_mm: tuple[float, float, float]) -> Reader:
    """Who draws on voxels of this size; the two shorter edges lie in the slice."""
    reach = [int(CLOSE_MM / edge) for edge in spacing_mm]
    offsets = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1) * spacing_mm
    one, other, _ = sorted(spacing_mm)
    return Reader(voxel_s=math.sqrt(one * other) / PEN_MM_S, close=np.linalg.norm(offsets, axis=-1) <= CLOSE_MM)


def surface_voxels_to_change(
    proposal: Labels, truth: Labels, reader: Reader = COARSE, values: Collection[int] = VALUES
) -> int:
    """Voxels of either surface, structure by structure, that are not close to the other."""
    changed = 0
    for value in values:
        both = (proposal == value) | (truth == value)
        if not both.any():
            continue
        around = [slice(span.start, span.stop) for span in ndimage.find_objects(both.astype(np.uint8))[0]]
        one, other = (
            _surface(np.pad(label[tuple(around)] == value, [(n // 2,) for n in reader.close.shape]))
            for label in (proposal, truth)
        )
        changed += int(np.count_nonzero(one & ~_grown(other, reader)) + np.count_nonzero(other & ~_grown(one, reader)))
    return changed


def minutes(
    truth: Labels, proposal: Labels | None = None, reader: Reader = COARSE, values: Collection[int] = VALUES
) -> float:
    """Time for one image, with or without a proposal.

    Args:
        truth: Values of the structure table, on axes (i, j, k).
        proposal: The same grid; None to draw from nothing.
        reader: Who draws.
        values: Structures that are wanted.
    """
    drawn = surface_voxels_to_change(np.zeros_like(truth), truth, reader, values)
    left = drawn if proposal is None else min(drawn, surface_voxels_to_change(proposal, truth, reader, values))
    return (LOOK_S + reader.voxel_s * left) / 60


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inner: NDArray[np.bool_] = ndimage.binary_erosion(mask)
    return mask & ~inner


def _grown(mask: NDArray[np.bool_], reader: Reader) -> NDArray[np.bool_]:
    grown: NDArray[np.bool_] = ndimage.binary_dilation(mask, reader.close)
    return grown
