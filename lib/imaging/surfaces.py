"""Distances between the surfaces of two masks, in mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

_ROUNDING_MM = 1e-4  # an affine in float32 moves a voxel by less
_PERCENTILE = 95


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurfaceDistances:
    """Distance of each surface voxel of one mask to the nearest surface voxel of the other, in mm.

    Attributes:
        to_reference: From the prediction's surface; empty when either mask is.
        to_prediction: From the reference's surface; empty when either mask is.
    """

    to_reference: NDArray[np.float64]
    to_prediction: NDArray[np.float64]

    def hd95_mm(self) -> float | None:
        """The larger 95th percentile of the two directions; None when a mask is empty."""
        if not len(self.to_reference):
            return None
        return max(float(np.percentile(one, _PERCENTILE)) for one in (self.to_reference, self.to_prediction))

    def surface_dice(self, tolerance_mm: float) -> float | None:
        """Share of the surface voxels within the tolerance of the other surface; None when a mask is empty."""
        both = np.concatenate([self.to_reference, self.to_prediction])
        return float(np.mean(both <= tolerance_mm + _ROUNDING_MM)) if len(both) else None


def surface_distances(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], to_mm: NDArray[np.float64]
) -> SurfaceDistances:
    """Measure both directions.

    Args:
        prediction: Mask on axes (i, j, k).
        reference: Mask on the same grid.
        to_mm: Voxel steps to mm, 3 x 3: the affine without its translation.
    """
    surfaces = [_surface_mm(mask, to_mm) for mask in (prediction, reference)]
    if not all(map(len, surfaces)):
        return SurfaceDistances(to_reference=np.empty(0), to_prediction=np.empty(0))
    trees = [KDTree(points) for points in surfaces]
    to_reference, _ = trees[1].query(surfaces[0])
    to_prediction, _ = trees[0].query(surfaces[1])
    return SurfaceDistances(to_reference=to_reference, to_prediction=to_prediction)


def _surface_mm(mask: NDArray[np.bool_], to_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres (n, 3) of the voxels that touch, by a face, one outside the mask or the edge of the volume."""
    surface = mask & ~ndimage.binary_erosion(mask)
    points: NDArray[np.float64] = np.argwhere(surface) @ to_mm.T
    return points
