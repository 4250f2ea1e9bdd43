"""Shapes as signed distances: a label of thick slices carried onto another grid keeps smooth surfaces.

Interpolating the distance to a surface, and not the label, is shape-based interpolation (Raya and Udupa, IEEE Trans Med
Imaging 1990;9:32-42); averaging the distances of two labels is shape-based averaging (Rohlfing and Maurer, IEEE Trans
Image Process 2007;16:153-161).
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lib.domain.structures import STRUCTURES
from lib.imaging.volume import Grid, Volume

Matrix = NDArray[np.floating]
Distances = NDArray[np.float32]
Box = tuple[slice, slice, slice]

FAR_MM = 12.0  # distances are only known up to here
VALUES = tuple(row.value for row in STRUCTURES.values())


def signed_distance_mm(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Distances:
    """Distance to a mask's surface, positive inside, cut at FAR_MM; the surface is half-way between voxel centres."""
    if not mask.any():
        return np.full(mask.shape, -FAR_MM, np.float32)
    half = min(spacing_mm) / 2
    inside = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    distance: Distances = np.clip(np.where(mask, inside - half, half - outside), -FAR_MM, FAR_MM).astype(np.float32)
    return distance


def distances_of(label: Volume, box: Box) -> Distances:
    """Signed distances (structures, i, j, k) of part of a label, in the order of the structure table."""
    part = label.data[box]
    return np.stack([signed_distance_mm(part == value, label.spacing_mm) for value in VALUES])


def label_of(distances_mm: Distances) -> NDArray[np.uint8]:
    """Label whose structures lie where some distance is positive; the deepest structure wins, so no gap opens."""
    values = np.array(VALUES, np.uint8)[distances_mm.argmax(0)]
    return np.where(distances_mm.max(0) > 0, values, 0).astype(np.uint8)


def carry(label: Volume, region: NDArray[np.bool_], matrix: Matrix, onto: Grid, into: Distances) -> None:
    """Carry a region of a label onto another grid: the nearer surface wins where something was carried before.

    Args:
        label: Values of the structure table.
        region: Part of the label to carry, on its voxels; not empty.
        matrix: The label's scanner coordinates to those of the other grid, 4 x 4.
        onto: The other grid.
        into: Signed distances (structures, i, j, k) on it; changed in place.
    """
    box = box_around(region, label.spacing_mm)
    part = Volume(data=np.where(region[box], label.data[box], 0), affine=_shifted(label.affine, box))
    to_part: Matrix = np.linalg.inv(matrix @ part.affine) @ onto.affine
    place = _landing(part.shape, np.linalg.inv(onto.affine) @ matrix @ part.affine, onto.shape)
    shape = [edge.stop - edge.start for edge in place]
    first = to_part[:3, :3] @ [edge.start for edge in place] + to_part[:3, 3]
    for row, value in enumerate(VALUES):
        if min(shape) > 0 and (part.data == value).any():
            distance = signed_distance_mm(part.data == value, label.spacing_mm)
            carried = ndimage.affine_transform(
                distance, to_part[:3, :3], first, output_shape=shape, order=1, mode="constant", cval=-FAR_MM
            )
            np.maximum(into[(row, *place)], carried, out=into[(row, *place)])


def box_around(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], margin_mm: float = FAR_MM) -> Box:
    """Bounding box of a mask that is not empty, grown by a margin within its grid."""
    found = ndimage.find_objects(mask.astype(np.uint8))[0]
    i, j, k = (
        slice(max(0, edge.start - int(margin_mm / mm)), min(n, edge.stop + int(margin_mm / mm)))
        for edge, mm, n in zip(found, spacing_mm, mask.shape, strict=True)
    )
    return i, j, k


def _shifted(affine: NDArray[np.float64], box: Box) -> NDArray[np.float64]:
    shifted = affine.copy()
    shifted[:3, 3] += affine[:3, :3] @ [edge.start for edge in box]
    return shifted


def _landing(shape: tuple[int, int, int], matrix: Matrix, onto: tuple[int, int, int]) -> Box:
    """Box of a grid that holds every corner of another one; empty when they do not meet."""
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in shape])))
    landed = corners @ matrix[:3, :3].T + matrix[:3, 3]
    low, high = np.floor(landed.min(0)).astype(int), np.ceil(landed.max(0)).astype(int) + 1
    i, j, k = (
        slice(int(np.clip(start, 0, n)), int(np.clip(stop, 0, n)))
        for start, stop, n in zip(low, high, onto, strict=True)
    )
    return i, j, k
