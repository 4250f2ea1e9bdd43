"""Grids: exact reorientation, resampling that keeps voxel centres in place, and the test for one grid."""

from __future__ import annotations

from typing import TypeVar

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lib.domain.errors import GeometryError
from lib.imaging.volume import Grid, Volume

Scalar = TypeVar("Scalar", bound=np.generic)

GRID_TOLERANCE_MM = 0.01  # NIfTI keeps affines in float32: about 1e-4 mm at 300 mm from the isocentre


def check_same_grid(label: Volume, image: Volume | Grid, *, tolerance_mm: float = GRID_TOLERANCE_MM) -> None:
    """Refuse a label that does not lie on the image's voxels.

    Raises:
        GeometryError: When shapes differ, or any corner of the grid is more than ``tolerance_mm`` away.
    """
    if label.shape != image.shape:
        msg = f"the label has shape {label.shape}; expected the image's {image.shape}"
        raise GeometryError(msg)
    worst = float(np.abs(_corners_ras(label) - _corners_ras(image)).max())
    if worst > tolerance_mm:
        msg = f"the label's grid is {worst:.2f} mm away from the image's; expected at most {tolerance_mm:g} mm"
        raise GeometryError(msg)


def _corners_ras(volume: Volume | Grid) -> NDArray[np.float64]:
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape], indexing="ij")).reshape(3, -1)
    return np.asarray(volume.affine[:3, :3] @ corners + volume.affine[:3, 3:])


def along(label: Volume, image: Grid) -> Volume:
    """Permute and flip a label's axes so that they run along the image's; no voxel is changed.

    A label on another grid comes back on another grid still: ``check_same_grid`` tells.
    """
    turn = nib.orientations.ornt_transform(nib.io_orientation(label.affine), nib.io_orientation(image.affine))
    data = np.ascontiguousarray(nib.apply_orientation(label.data, turn))
    return Volume(data=data, affine=label.affine @ nib.orientations.inv_ornt_aff(turn, label.shape))


def to_canonical(volume: Volume) -> Volume:
    """Permute and flip axes so that they run closest to (right, anterior, superior); no voxel is changed."""
    orientation = nib.io_orientation(volume.affine)
    data = nib.apply_orientation(volume.data, orientation)
    affine = volume.affine @ nib.orientations.inv_ornt_aff(orientation, volume.shape)
    return Volume(data=data, affine=affine)


def from_canonical(data: NDArray[Scalar], like: Volume) -> NDArray[Scalar]:
    """Bring an array on the canonical grid of ``like`` back onto the voxel axes of ``like``, exactly."""
    there = nib.io_orientation(like.affine)
    canonical = nib.orientations.axcodes2ornt(("R", "A", "S"))
    back = nib.orientations.ornt_transform(canonical, there)
    return np.ascontiguousarray(nib.apply_orientation(data, back))


def resampled_shape(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], target_mm: tuple[float, float, float]
) -> tuple[int, int, int]:
    """Number of voxels that cover the same field of view at another spacing; at least one along each axis."""
    i, j, k = (max(1, round(n * old / new)) for n, old, new in zip(shape, spacing_mm, target_mm, strict=True))
    return i, j, k


def resample(volume: Volume, spacing_mm: tuple[float, float, float], *, order: int = 1) -> Volume:
    """Resample along the voxel axes; the field of view stays centred.

    Args:
        volume: Any volume.
        spacing_mm: New voxel edge lengths along (i, j, k).
        order: 1 linear (images), 0 nearest (labels).
    """
    shape = resampled_shape(volume.shape, volume.spacing_mm, spacing_mm)
    step = np.array(spacing_mm) / np.array(volume.spacing_mm)
    first = ((np.array(volume.shape) - 1) - (np.array(shape) - 1) * step) / 2
    data = ndimage.affine_transform(volume.data, step, first, output_shape=shape, order=order, mode="nearest")
    to_old = np.eye(4)
    to_old[:3, :3] = np.diag(step)
    to_old[:3, 3] = first
    return Volume(data=data, affine=volume.affine @ to_old)


def resample_onto(volume: Volume, grid: Volume | Grid, *, order: int = 0, outside: float = 0.0) -> NDArray[np.generic]:
    """Sample a volume at the voxel centres of another grid, wherever that lies."""
    to_voxel = np.linalg.inv(volume.affine) @ grid.affine
    sampled: NDArray[np.generic] = ndimage.affine_transform(
        volume.data,
        to_voxel[:3, :3],
        to_voxel[:3, 3],
        output_shape=grid.shape,
        order=order,
        mode="grid-constant",
        cval=outside,
    )
    return sampled
