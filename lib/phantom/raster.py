"""Anatomy to voxels: one tissue code a voxel, organs apart from the trunk so that they can move with the breath."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lib.phantom.anatomy import Anatomy, Point
from lib.phantom.canvas import Canvas, Codes, Mask, NoiseKey
from lib.phantom.kidneys import paint_kidney, paint_lesion
from lib.phantom.noise import Array, Grid, smooth_noise
from lib.phantom.organs import paint_bowel, paint_great_vessels, paint_upper_organs
from lib.phantom.tissues import TISSUES
from lib.phantom.trunk import paint_trunk

FINE_MM = (1.25, 1.25, 2.0)
# Lowest and highest point of the raster, in mm: an axial stack needs the kidneys, a coronal slab the whole trunk.
SPAN_MM: dict[str, tuple[float, float]] = {"axial": (-146.0, 152.0), "coronal": (-206.0, 206.0)}
_ARM_ROOM_MM = 95.0
_BELOW_MM = 80.0  # from the centre of a kidney to the lowest point of what is drawn, where it lies in the pelvis
_WARP = ((42.0, 3.2), (15.0, 0.9))  # (step of the control points, standard deviation of the displacement) in mm


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """A rasterised patient.

    Attributes:
        grid: Voxel centres, RAS, in mm.
        body: Tissue codes of what does not move.
        organs: Tissue codes of what moves with the breath; 0 where only fat is.
        cavity: Where organs show.
        texture: Noise of unit variance.
    """

    grid: Grid
    body: Codes
    organs: Codes
    cavity: Mask
    texture: Array


def label_table() -> Codes:
    """Structure value of each tissue code."""
    return np.array([row.label for row in TISSUES.values()], np.uint8)


def fine_grid(anatomy: Anatomy, view: Literal["axial", "coronal"], fine_mm: Point = FINE_MM) -> Grid:
    """Lay the common grid of one patient's images around the trunk."""
    body = anatomy.body
    wide = body.half_width_mm + (_ARM_ROOM_MM if body.arms else 8)
    deep = body.half_depth_mm + 8
    low, high = SPAN_MM[view]
    lowest = min((kidney.centre_ras[2] for kidney in anatomy.kidneys), default=0.0) - _BELOW_MM
    spans = ((-wide, wide), (-deep, deep), (min(low, lowest), high))
    x, y, z = (
        np.arange(math.floor(low / step), math.ceil(high / step) + 1).astype(np.float32) * np.float32(step)
        for (low, high), step in zip(spans, fine_mm, strict=True)
    )
    return Grid(x=x, y=y, z=z)


def rasterise(anatomy: Anatomy, grid: Grid) -> Layers:
    """Turn a description into tissue codes on a grid."""
    seed = anatomy.noise_seed
    warp = _warp(grid, seed)
    trunk = Canvas(grid=grid, warp=warp, layer=np.zeros(grid.shape, np.uint8), seed=seed)
    cavity = paint_trunk(trunk, anatomy)
    organs = Canvas(grid=grid, warp=warp, layer=np.zeros(grid.shape, np.uint8), seed=seed)
    paint_bowel(organs, anatomy)
    paint_upper_organs(organs, anatomy)
    paint_great_vessels(organs, anatomy)
    for kidney in anatomy.kidneys:
        paint_kidney(organs, kidney, anatomy.body)
    for index, lesion in enumerate(anatomy.lesions):
        paint_lesion(organs, lesion, index)
    texture = smooth_noise(grid, step_mm=6.0, seed=(seed, NoiseKey.TEXTURE))
    return Layers(grid=grid, body=trunk.layer, organs=organs.layer, cavity=cavity, texture=texture)


def compose(layers: Layers, shift_voxels: tuple[int, int, int]) -> Codes:
    """Put the organs, moved by whole voxels, into the trunk.

    A kidney or lesion pushes the wall aside where they meet; every other organ is cut by it.
    """
    organs = np.roll(layers.organs, shift_voxels, axis=(0, 1, 2))
    solid = label_table()[organs] > 0
    return np.where(solid | (layers.cavity & (organs > 0)), organs, layers.body)


def _warp(grid: Grid, seed: int) -> tuple[Array, Array, Array]:
    first, second = (
        [
            smooth_noise(grid, step_mm=step, seed=(seed, NoiseKey.WARP, axis, octave)) * np.float32(size)
            for axis in range(3)
        ]
        for octave, (step, size) in enumerate(_WARP)
    )
    return first[0] + second[0], first[1] + second[1], first[2] + second[2]
