"""What is measured on masses: connected components, volume, diameter, side."""

from __future__ import annotations

import contextlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform

from lib.domain.records import SMALL_MASS_MM, MassMeasurement
from lib.domain.structures import KIDNEY, MASS
from lib.imaging.volume import Volume

_TOUCHING = np.ones((3, 3, 3), dtype=bool)  # 26-connected: a thin bridge through a corner joins
_MM3_PER_ML = 1000.0
_MIN_HULL_POINTS = 5


def components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the 26-connected components of a mask from 1, and count them.

    Raises:
        ValueError: When the mask is not three-dimensional.
    """
    if mask.ndim != _TOUCHING.ndim:
        msg = f"mask must have axes (i, j, k), got shape {mask.shape}"
        raise ValueError(msg)
    labelled, count = ndimage.label(mask, structure=_TOUCHING)
    return labelled, int(count)


def components_by_size(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the components from 1, largest first, and count them.

    Raises:
        ValueError: When the mask is not three-dimensional.
    """
    labelled, count = components(mask)
    voxels = np.bincount(labelled.ravel(), minlength=count + 1)[1:]
    number = np.zeros(count + 1, labelled.dtype)
    number[1 + np.argsort(-voxels, kind="stable")] = np.arange(1, count + 1)
    return number[labelled], count


def voxel_ml(to_mm: NDArray[np.float64]) -> float:
    """Volume of one voxel in ml, from the voxel steps to mm (3 x 3: the affine without its translation)."""
    return abs(float(np.linalg.det(to_mm))) / _MM3_PER_ML


def measure_masses(label: Volume, certainty: NDArray[np.floating] | None = None) -> list[MassMeasurement]:
    """Measure every connected mass of a label, largest first.

    Args:
        label: Values of the structure table on the image's grid.
        certainty: Probability of each labelled voxel, of a proposal.

    Returns:
        One record per mass; empty when the label holds none.
    """
    labelled, count = components_by_size(label.data == MASS)
    midline = _midline_ras(label)
    found = []
    for number, box in enumerate(ndimage.find_objects(labelled, count), start=1):
        mass = labelled[box] == number
        voxels = np.argwhere(mass) + [edge.start for edge in box]
        centre = label.affine[:3, :3] @ voxels.mean(axis=0) + label.affine[:3, 3]
        diameter = largest_diameter_mm(voxels, label.affine[:3, :3])
        found.append(
            MassMeasurement(
                volume_ml=len(voxels) * voxel_ml(label.affine[:3, :3]),
                diameter_mm=diameter,
                side=_side(centre[0], midline),
                small=diameter <= SMALL_MASS_MM,
                centre_ras=(float(centre[0]), float(centre[1]), float(centre[2])),
                confidence=None if certainty is None else round(float(certainty[box][mass].mean(dtype=float)), 4),
            )
        )
    return found


def largest_diameter_mm(voxels: NDArray[np.int64], to_mm: NDArray[np.float64]) -> float:
    """Largest distance between two voxel centres, plus one mean voxel edge for the outer halves.

    A sphere of true diameter d on a grid is measured within about one voxel of d.

    Args:
        voxels: Indices (n, 3), at least one.
        to_mm: Voxel steps to mm, 3 x 3: the affine without its translation.
    """
    points = _outline_mm(voxels, to_mm)
    return (float(pdist(points).max()) if len(points) > 1 else 0.0) + _mean_edge_mm(to_mm)


def short_axis_mm(mask: NDArray[np.bool_], to_mm: NDArray[np.float64]) -> float:
    """Largest extent of one mass at right angles to its largest diameter, plus one mean voxel edge.

    The long axis joins the two voxel centres that are farthest apart, in any direction; the short axis is the largest
    distance of two voxel centres seen along it. Of an ellipsoid it is the middle axis.

    Args:
        mask: True inside the mass, on axes (i, j, k).
        to_mm: Steps of one voxel along (i, j, k) in the columns, in mm, 3 x 3.

    Raises:
        ValueError: When the mask is empty.
    """
    points = _outline_mm(np.argwhere(mask), to_mm)
    if not len(points):
        msg = "the mask of the mass is empty; expected at least one voxel"
        raise ValueError(msg)
    if len(points) == 1:
        return _mean_edge_mm(to_mm)
    distances = squareform(pdist(points))
    one, other = np.unravel_index(distances.argmax(), distances.shape)
    along = (points[other] - points[one]) / distances[one, other]
    across = points - np.outer(points @ along, along)
    return float(pdist(across).max()) + _mean_edge_mm(to_mm)


def _outline_mm(voxels: NDArray[np.int64], to_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Voxel centres in mm; only the corners of their convex hull, where they are many."""
    points: NDArray[np.float64] = voxels @ to_mm.T
    if len(points) > _MIN_HULL_POINTS:
        with contextlib.suppress(QhullError):  # all voxels in one plane: few enough to compare each with each
            points = points[ConvexHull(points).vertices]
    return points


def _mean_edge_mm(to_mm: NDArray[np.float64]) -> float:
    return float(np.cbrt(abs(np.linalg.det(to_mm))))


def _midline_ras(label: Volume) -> float | None:
    """Right-left position between the two kidneys; else the middle of the field of view."""
    kidneys = np.argwhere(label.data == KIDNEY)
    middle = label.affine[:3, :3] @ ((np.array(label.shape) - 1) / 2) + label.affine[:3, 3]
    if not len(kidneys):
        return float(middle[0])
    right = kidneys @ label.affine[0, :3] + label.affine[0, 3]
    low, high = np.percentile(right, (2, 98))
    return float((low + high) / 2) if low < middle[0] < high else float(middle[0])


def _side(right_mm: float, midline: float | None) -> Literal["left", "right", "unknown"]:
    if midline is None or right_mm == midline:
        return "unknown"
    return "right" if right_mm > midline else "left"
