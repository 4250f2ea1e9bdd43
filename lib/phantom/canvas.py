"""Painting on voxels: boxes, ellipsoids and pipes in the displaced coordinates of one patient."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lib.phantom.anatomy import Point
from lib.phantom.noise import Array, Grid, box_around, smooth_noise
from lib.phantom.tissues import CODES

Codes = NDArray[np.uint8]
Box = tuple[slice, slice, slice]
Mask = NDArray[np.bool_]
_MARGIN_MM = 14.0  # four standard deviations of the displacement


class NoiseKey(IntEnum):
    """The noise fields of one patient; a field is shared wherever the same key and step are used."""

    TEXTURE = 1
    WARP = 2
    FINE = 3
    TUBE_A = 4
    TUBE_B = 5
    BOWEL_A = 6
    BOWEL_B = 7
    FILL = 8
    LESION = 9  # and every number after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """What painting needs: the grid, its displacement and the layer to paint on."""

    grid: Grid
    warp: tuple[Array, Array, Array]
    layer: Codes
    seed: int

    def noise(self, box: Box, key: int, step_mm: float) -> Array:
        """A noise field of this patient inside a box."""
        return smooth_noise(self.grid.crop(box), step_mm=step_mm, seed=(self.seed, key))

    def coordinates(self, box: Box) -> tuple[Array, Array, Array]:
        """Displaced coordinates inside a box, in mm."""
        x, y, z = self.grid.crop(box).open
        return x + self.warp[0][box], y + self.warp[1][box], z + self.warp[2][box]

    def box(self, centre: Point, reach_mm: Point) -> Box:
        """The box around a shape, with room for the displacement."""
        middle, reach = np.asarray(centre, np.float32), np.asarray(reach_mm, np.float32) + np.float32(_MARGIN_MM)
        return box_around(self.grid, middle - reach, middle + reach)

    def paint(self, box: Box, where: Mask, tissue: str) -> None:
        """Put a tissue where the mask of a box is true."""
        self.layer[box][where] = CODES[tissue]


def squircle(x: Array, y: Array, half: tuple[float, float], middle: float, square: float) -> Array:
    """Below 1 inside a rounded box around x = 0, y = middle; ``square`` 0 is an ellipse, 1 a rectangle."""
    u, v = np.square(x / np.float32(half[0])), np.square((y - np.float32(middle)) / np.float32(half[1]))
    inside: Array = u + v - np.float32(square) * u * v
    return inside


def ellipsoid(canvas: Canvas, centre: Point, radii: Point, square: float = 0.0) -> tuple[Box, Array]:
    """Box and squared radius (1 on the surface) of an ellipsoid along the patient's axes; ``square`` as in squircle."""
    box = canvas.box(centre, radii)
    x, y, z = canvas.coordinates(box)
    section = squircle(x - np.float32(centre[0]), y, radii[:2], centre[1], square)
    return box, section + np.square((z - np.float32(centre[2])) / np.float32(radii[2]))


def paint_tube(canvas: Canvas, points: list[Point], radius_mm: float, tissue: str) -> None:
    """Paint a chain of straight pipes."""
    for start, end in pairwise(points):
        a, b = np.asarray(start, np.float32), np.asarray(end, np.float32)
        middle = (a + b) / 2
        reach = np.abs(a - b) / 2 + radius_mm
        box = canvas.box(as_point(middle), as_point(reach))
        x, y, z = canvas.coordinates(box)
        x, y, z = x - a[0], y - a[1], z - a[2]
        line = b - a
        along = np.clip((x * line[0] + y * line[1] + z * line[2]) / max(float(line @ line), 1e-3), 0, 1)
        away = np.square(x - along * line[0]) + np.square(y - along * line[1]) + np.square(z - along * line[2])
        canvas.paint(box, away < radius_mm**2, tissue)


def turned(
    xyz: tuple[Array, Array, Array], centre: Point, axes: tuple[Point, Point, Point]
) -> tuple[Array, Array, Array]:
    """Coordinates along other axes, from a centre."""
    x, y, z = (axis - np.float32(c) for axis, c in zip(xyz, centre, strict=True))
    first, second, third = (
        np.float32(axis[0]) * x + np.float32(axis[1]) * y + np.float32(axis[2]) * z for axis in axes
    )
    return first, second, third


def as_point(values: np.ndarray) -> Point:
    """Three numbers as plain floats."""
    return float(values[0]), float(values[1]), float(values[2])
