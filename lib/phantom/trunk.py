"""What does not move with the breath: skin, fat, muscle, ribs, spine and arms."""

from __future__ import annotations

import numpy as np

from lib.phantom.anatomy import Anatomy
from lib.phantom.canvas import Box, Canvas, Mask, NoiseKey, squircle
from lib.phantom.noise import Array
from lib.phantom.tissues import CODES


def cavity_frame(anatomy: Anatomy) -> tuple[float, float, float]:
    """Half width, half depth and middle (y) of the abdominal cavity."""
    body = anatomy.body
    side, front, _ = body.fat_mm
    top, bottom = body.half_depth_mm - front - body.wall_mm, body.spine_y - 27
    return body.half_width_mm - side - body.wall_mm - 3, (top - bottom) / 2, (top + bottom) / 2


def paint_trunk(canvas: Canvas, anatomy: Anatomy) -> Mask:
    """Skin, fat, muscle, ribs and spine; returns where the cavity is."""
    body = anatomy.body
    whole: Box = (slice(None), slice(None), slice(None))
    x, y, z = canvas.coordinates(whole)
    waist = 1 - np.float32(0.06) * np.exp(-np.square((canvas.grid.open[2] + 45) / 60))
    x = x / waist
    side, front, back = body.fat_mm
    skin = squircle(x, y, (body.half_width_mm, body.half_depth_mm), 0.0, 0.45)
    deep = (2 * body.half_depth_mm - front - back) / 2
    shell = squircle(x, y, (body.half_width_mm - side, deep), (back - front) / 2, 0.35)
    half_width, half_depth, middle = cavity_frame(anatomy)
    inner = squircle(x, y, (half_width, half_depth), middle, 0.3)
    canvas.layer[skin < 1] = CODES["skin_fat"]
    muscle = (shell < 1) & (skin < 1)
    canvas.layer[muscle] = CODES["muscle"]
    streaks = np.abs(canvas.noise(whole, NoiseKey.FINE, 16.0)) < 0.05
    canvas.layer[muscle & streaks & (y < body.spine_y - 12)] = CODES["fat"]
    _paint_ribs(canvas, x, y, z, (shell < 0.96) & (inner > 1.05), body.spine_y)
    cavity = (inner < 1) & muscle
    canvas.layer[cavity] = CODES["fat"]
    _paint_spine(canvas, body.spine_y)
    if body.arms:
        _paint_arms(canvas, body.half_width_mm)
    cavity &= canvas.layer == CODES["fat"]
    return cavity


def _paint_ribs(canvas: Canvas, x: Array, y: Array, z: Array, shell: Mask, spine_y: float) -> None:
    """Bands that fall to the front inside the chest wall, down to the twelfth rib."""
    phase = np.abs((z + np.float32(0.45) * (y - np.float32(spine_y))) % 28 - 14)
    bands = shell & (np.abs(x) > 50) & (phase < 6) & (z + np.float32(0.5) * y > -5)
    canvas.layer[bands] = CODES["bone"]
    canvas.layer[bands & (phase < 4)] = CODES["marrow"]


def _paint_spine(canvas: Canvas, spine_y: float) -> None:
    reach = (62.0, 55.0, 400.0)
    box = canvas.box((0.0, spine_y - 12, 0.0), reach)
    x, y, z = canvas.coordinates(box)
    x = x - canvas.warp[0][box] * np.float32(0.6)  # bone bends less than what surrounds it
    y = y - np.float32(spine_y)
    level = (z + 18) % 36
    growth = np.clip((45 - z) / 150, 0, 1.0)
    psoas = np.square((np.abs(x) - 29 - 14 * growth) / (5 + 15 * growth)) + np.square((y - 2) / (6 + 16 * growth)) < 1
    canvas.paint(box, psoas & (z < 45), "muscle")
    ring = np.hypot(x, y + 28)
    arch = (ring < 14) | ((np.abs(x) < 3.5) & (y < -36) & (y > -64) & (level > 8) & (level < 30))
    wings = (np.abs(y + 26) < 5) & (np.abs(x) < 40) & (level > 16) & (level < 27)
    canvas.paint(box, arch | wings, "bone")
    canvas.paint(box, (ring < 12.5) & (level > 10) & (level < 28), "marrow")
    vertebra = np.square(x / 24) + np.square(y / 17)
    canvas.paint(box, vertebra < 1, "bone")
    canvas.paint(box, (vertebra < 0.9) & (level > 9.5) & (level < 34.5), "marrow")
    canvas.paint(box, (vertebra < 0.97) & (level < 7.5), "disc")
    canvas.paint(box, np.square(x / 10) + np.square((y + 26) / 8) < 1, "csf")
    cord = np.square(x / 5) + np.square((y + 28) / 3.5) < 1
    canvas.paint(box, cord & (canvas.noise(box, NoiseKey.FINE, 4.0) > np.clip(-z / 30, -1.5, 0.6)), "muscle")


def _paint_arms(canvas: Canvas, half_width: float) -> None:
    for sign in (-1, 1):
        centre = (sign * (half_width + 46.0), -12.0, 0.0)
        box = canvas.box(centre, (46.0, 46.0, 400.0))
        x, y, _ = canvas.coordinates(box)
        around = np.hypot(x - np.float32(centre[0]), y + 12)
        for radius, tissue in ((38, "skin_fat"), (31, "muscle"), (11, "bone"), (8, "marrow")):
            canvas.paint(box, around < radius, tissue)
