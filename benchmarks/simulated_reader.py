"""What a label costs a simulated reader: looking at the image, and drawing or correcting surfaces.

The cost model is a stand-in for a stop watch: half a minute to look at an image, then half a second for every voxel of
a structure's surface that has to be drawn, moved or taken away (a contour of 10 mm in a second, at the voxels of
about 5 x 5 x 6 mm that the simulations use). A surface within one voxel of the right one is left as it is. Whoever
would be quicker without the proposal starts from nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lib.imaging.shapes import VALUES

LOOK_S = 30.0
SURFACE_VOXEL_S = 0.5
Labels = NDArray[np.uint8]


def surface_voxels_to_change(proposal: Labels, truth: Labels) -> int:
    """Voxels of either surface, structure by structure, that are not within one voxel of the other."""
    changed = 0
    for value in VALUES:
        one, other = _surface(proposal == value), _surface(truth == value)
        changed += np.count_nonzero(one & ~_grown(other)) + np.count_nonzero(other & ~_grown(one))
    return int(changed)


def minutes(truth: Labels, proposal: Labels | None = None) -> float:
    """Time for one image, with or without a proposal."""
    drawn = surface_voxels_to_change(np.zeros_like(truth), truth)
    left = drawn if proposal is None else min(drawn, surface_voxels_to_change(proposal, truth))
    return (LOOK_S + SURFACE_VOXEL_S * left) / 60


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask & ~ndimage.binary_erosion(mask)


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown: NDArray[np.bool_] = ndimage.binary_dilation(mask, np.ones((3, 3, 3)))
    return grown
