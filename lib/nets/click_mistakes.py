"""Mistakes made up for training: what a proposal may get wrong about a true label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lib.domain.structures import STRUCTURE_NAMES
from lib.nets.grids import Spacing

Classes = NDArray[np.uint8]
_KIDNEY, _MASS = (1 + STRUCTURE_NAMES.index(name) for name in ("kidney", "mass"))
_OTHER_CHANCE = 0.3  # that a second mistake is made


def spoiled(truth: Classes, spacing_mm: Spacing, rng: np.random.Generator) -> Classes:
    """Make one or two mistakes of random kind in a true label.

    Args:
        truth: Classes (X, Y, Z); class numbers follow the structure table.
        spacing_mm: Voxel edge lengths.
        rng: Draws kinds, places and sizes.
    """
    label = truth.copy()
    has_mass = bool((truth == _MASS).any())
    kinds = (
        [*_OF_A_MASS, _false_mass, _kidney_bite, _kidney_spill]
        if has_mass
        else [_false_mass, _kidney_bite, _kidney_spill]
    )
    for _ in range(1 + int(rng.random() < _OTHER_CHANCE)):
        label = kinds[int(rng.integers(len(kinds)))](label, spacing_mm, rng)
    return label


def _missed(label: Classes, _: Spacing, rng: np.random.Generator) -> Classes:
    return _refilled(label, label == _MASS, rng)


def _halved(label: Classes, spacing_mm: Spacing, rng: np.random.Generator) -> Classes:
    """Lose what lies on one side of a plane through the mass."""
    places = np.argwhere(label == _MASS)
    if not len(places):
        return label
    direction = rng.normal(size=3)
    along = (places * spacing_mm) @ (direction / np.linalg.norm(direction))
    lost = np.zeros(label.shape, dtype=bool)
    lost[tuple(places[along > np.quantile(along, rng.uniform(0.2, 0.7))].T)] = True
    return _refilled(label, lost, rng)


def _eroded(label: Classes, spacing_mm: Spacing, rng: np.random.Generator) -> Classes:
    mass = label == _MASS
    depth = ndimage.distance_transform_edt(mass, sampling=spacing_mm)
    return _refilled(label, mass & (depth <= rng.uniform(0.2, 0.7) * depth.max()), rng)


def _spilled(label: Classes, spacing_mm: Spacing, rng: np.random.Generator) -> Classes:
    """Grow the mass all around, or with a bump on one side."""
    mass = label == _MASS
    if rng.random() < 0.5:
        grown = ndimage.distance_transform_edt(~mass, sampling=spacing_mm) < rng.uniform(1.5, 6)
        return np.where(grown, np.uint8(_MASS), label)
    return _with_ball(label, _MASS, _any_of(mass, rng), spacing_mm, rng, (4, 12))


def _shifted(label: Classes, spacing_mm: Spacing, rng: np.random.Generator) -> Classes:
    mass = label == _MASS
    steps = [round(rng.uniform(-8, 8) / edge) for edge in spacing_mm]
    moved = ndimage.shift(mass, steps, order=0, cval=False)
    return np.where(moved, np.uint8(_MASS), _refilled(label, mass, rng))


def _false_mass(label: Classes, spacing_mm: Spacing, rng: np.random.Generator) -> Classes:
    kidney = label == _KIDNEY
    place = _any_of(kidney if kidney.any() and rng.random() < 0.7 else np.ones(label.shape, dtype=bool), rng)
    return _with_ball(label, _MASS, place, spacing_mm, rng, (4, 14))


def _kidney_bite(label: Classes, spacing_mm: Spacing, rng: np.random.Generator) -> Classes:
    ball = _ball(label.shape, _any_of(label == _KIDNEY, rng), spacing_mm, rng, (6, 18))
    return np.where(ball & (label == _KIDNEY), np.uint8(0), label)


def _kidney_spill(label: Classes, spacing_mm: Spacing, rng: np.random.Generator) -> Classes:
    ball = _ball(label.shape, _any_of(label == _KIDNEY, rng), spacing_mm, rng, (6, 18))
    return np.where(ball & (label == 0), np.uint8(_KIDNEY), label)


_OF_A_MASS: tuple[Callable[[Classes, Spacing, np.random.Generator], Classes], ...] = (
    _missed, _missed, _halved, _eroded, _spilled, _shifted,
)  # fmt: skip


def _refilled(label: Classes, lost: NDArray[np.bool_], rng: np.random.Generator) -> Classes:
    """Put kidney, background, or whatever is nearest where something was lost."""
    kind = int(rng.integers(3))
    if kind < 2 or lost.all():
        return np.where(lost, np.uint8(kind % 2), label)
    nearest = ndimage.distance_transform_edt(lost | (label == _MASS), return_distances=False, return_indices=True)
    return np.where(lost, label[tuple(nearest)], label)


def _with_ball(
    label: Classes,
    value: int,
    place: NDArray[np.int64],
    spacing_mm: Spacing,
    rng: np.random.Generator,
    radii: tuple[float, float],
) -> Classes:
    return np.where(_ball(label.shape, place, spacing_mm, rng, radii), np.uint8(value), label)


def _any_of(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    found = np.flatnonzero(mask)
    flat = int(found[rng.integers(len(found))]) if len(found) else int(rng.integers(mask.size))
    return np.array(np.unravel_index(flat, mask.shape))


def _ball(
    shape: tuple[int, ...],
    place: NDArray[np.int64],
    spacing_mm: Spacing,
    rng: np.random.Generator,
    radii_mm: tuple[float, float],
) -> NDArray[np.bool_]:
    """An ellipsoid of random axes around a voxel."""
    axes = rng.uniform(*radii_mm) * rng.uniform(0.7, 1.3, 3)
    x, y, z = (
        (((np.arange(n) - at) * edge / axis) ** 2)
        for n, at, edge, axis in zip(shape, place, spacing_mm, axes, strict=True)
    )
    inside: NDArray[np.bool_] = x[:, None, None] + y[:, None] + z < 1
    return inside
