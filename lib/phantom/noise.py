"""Smooth random fields in patient millimetres, drawn coarsely and interpolated on any grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Half extents of the space that fields cover (right, anterior, superior), in mm: no phantom is larger.
REACH_MM = (300.0, 240.0, 260.0)
# A cubic B-spline of unit-variance coefficients has this mean standard deviation in three dimensions.
_SPLINE_STD = 0.479**1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Axis-aligned points: one coordinate array an axis, RAS, in mm."""

    x: Array
    y: Array
    z: Array

    @property
    def axes(self) -> tuple[Array, Array, Array]:
        """The three coordinate arrays."""
        return self.x, self.y, self.z

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of points an axis."""
        return len(self.x), len(self.y), len(self.z)

    @property
    def open(self) -> tuple[Array, Array, Array]:
        """The coordinates shaped to broadcast: (x, 1, 1), (1, y, 1), (1, 1, z)."""
        return self.x[:, None, None], self.y[None, :, None], self.z[None, None, :]

    def crop(self, box: tuple[slice, slice, slice]) -> Grid:
        """Return the points inside a box of indices."""
        return Grid(x=self.x[box[0]], y=self.y[box[1]], z=self.z[box[2]])


def box_around(grid: Grid, low_mm: Array, high_mm: Array) -> tuple[slice, slice, slice]:
    """Return the index box of the points between two corners (may be empty)."""
    cuts = [np.searchsorted(axis, (lo, hi)) for axis, lo, hi in zip(grid.axes, low_mm, high_mm, strict=True)]
    return (slice(*map(int, cuts[0])), slice(*map(int, cuts[1])), slice(*map(int, cuts[2])))


def _spline_weights(points: Array, reach: float, step: float, count: int) -> Array:
    """Weights (points, count) of the uniform cubic B-spline with knots ``step`` mm apart."""
    position = np.clip((points + reach) / step, 1.0, count - 3.001).astype(np.float64)
    cell = np.floor(position).astype(int)
    t = position - cell
    pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((len(points), count), np.float32)
    for offset, piece in enumerate(pieces):
        weights[np.arange(len(points)), cell + offset - 1] = piece / 6
    return weights


def smooth_noise(grid: Grid, *, step_mm: float, seed: tuple[int, ...]) -> Array:
    """Evaluate a random field of about unit variance; the same seed is the same field on every grid.

    Args:
        grid: Points, RAS, in mm.
        step_mm: Distance of the control points: structures are about twice as large.
        seed: Key of the field.

    Returns:
        Values of shape (x, y, z).
    """
    counts = tuple(int(np.ceil(2 * reach / step_mm)) + 4 for reach in REACH_MM)
    field: Array = np.random.default_rng(seed).standard_normal(counts, dtype=np.float32) / np.float32(_SPLINE_STD)
    wx, wy, wz = (
        _spline_weights(axis, reach, step_mm, count)
        for axis, reach, count in zip(grid.axes, REACH_MM, counts, strict=True)
    )
    keep = [np.flatnonzero(w.any(axis=0)) for w in (wx, wy, wz)]
    field = field[np.ix_(*keep)]
    along_z = field @ wz[:, keep[2]].T
    along_y = np.matmul(wy[:, keep[1]], along_z)
    return np.tensordot(wx[:, keep[0]], along_y, axes=1)
