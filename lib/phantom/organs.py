"""What fills the abdomen beside the kidneys: bowel, upper organs, lungs and great vessels."""

from __future__ import annotations

import math

import numpy as np

from lib.phantom.anatomy import Anatomy
from lib.phantom.canvas import Box, Canvas, NoiseKey, ellipsoid, paint_tube
from lib.phantom.noise import Array, box_around
from lib.phantom.trunk import cavity_frame


def paint_bowel(canvas: Canvas, anatomy: Anatomy) -> None:
    """Loops of small bowel as tubes between two noise fields, and the colon as a haustrated pipe."""
    half_width, half_depth, middle = cavity_frame(anatomy)
    lean = anatomy.body.lean
    low = np.array([-0.85 * half_width, anatomy.body.spine_y + 32 - 16 * lean, -400], np.float32)
    high = np.array([0.85 * half_width, middle + 0.9 * half_depth, 45], np.float32)
    box = box_around(canvas.grid, low, high)
    radius = np.square(canvas.noise(box, NoiseKey.BOWEL_A, 18.0)) + np.square(canvas.noise(box, NoiseKey.BOWEL_B, 18.0))
    radius *= 1 + np.float32(0.22) * canvas.noise(box, NoiseKey.FINE, 5.0)  # folds
    fill = canvas.noise(box, NoiseKey.FILL, 24.0)
    size = np.float32(0.95 - 0.35 * anatomy.body.visceral)
    canvas.paint(box, radius < size, "bowel_wall")
    canvas.paint(box, (radius < 0.55 * size) & (fill > 0.1), "bowel_content")
    canvas.paint(box, (radius < 0.5 * size) & (fill > 0.7), "bowel_fluid")
    canvas.paint(box, (radius < 0.45 * size) & (fill < -1.1), "air")
    vessels = _around_curves(canvas, box, 17.0) < 0.012
    canvas.paint(box, vessels & (radius > size), "vein")
    for sign in (-1, 1):
        behind = 6 + 0.35 * lean * half_depth  # in the lean it lies against the kidney, with little fat between
        _paint_colon(canvas, sign, half_width, middle - behind)


def _around_curves(canvas: Canvas, box: Box, step_mm: float) -> Array:
    """Small near the curves on which two noise fields are both zero: a net of vessels."""
    one, other = (canvas.noise(box, key, step_mm) for key in (NoiseKey.TUBE_A, NoiseKey.TUBE_B))
    net: Array = np.square(one) + np.square(other)
    return net


def _paint_colon(canvas: Canvas, sign: int, half_width: float, y_mm: float) -> None:
    top = 20.0 if sign > 0 else 55.0
    centre = (sign * (half_width - 30), y_mm, top - 130)
    box = canvas.box(centre, (30, 30, 130))
    x, y, z = canvas.coordinates(box)
    radius = np.hypot(x - np.float32(centre[0]), y - np.float32(centre[1]))
    wall = 19 + 4 * np.cos(z * np.float32(2 * math.pi / 24))
    inside = (radius < wall - 2.5) & (z < top - 2)
    fill = canvas.noise(box, NoiseKey.FILL, 9.0) + np.float32(0.06) * (y - np.float32(centre[1]))
    canvas.paint(box, (radius < wall) & (z < top), "bowel_wall")
    canvas.paint(box, inside, "bowel_content")
    gas = (fill > 0.9) | (canvas.noise(box, NoiseKey.FINE, 5.0) > 1.1)  # above the stool, and between it
    canvas.paint(box, inside & gas, "air")


def paint_upper_organs(canvas: Canvas, anatomy: Anatomy) -> None:
    """Stomach, pancreas, gallbladder, spleen, liver and lungs."""
    wide, deep, middle = cavity_frame(anatomy)
    box, stomach = ellipsoid(canvas, (-0.36 * wide, middle + 0.38 * deep, 72), (0.36 * wide, 0.42 * deep, 48))
    front = canvas.grid.crop(box).open[1] + np.float32(4) * canvas.noise(box, NoiseKey.FILL, 24.0)
    canvas.paint(box, stomach < 1, "bowel_wall")
    canvas.paint(box, stomach < 0.82, "bowel_fluid")
    canvas.paint(box, (stomach < 0.82) & (front > middle + 0.5 * deep), "air")
    y = anatomy.body.spine_y
    paint_tube(
        canvas,
        [(-0.55 * wide, y + 25, 52), (-0.15 * wide, y + 52, 42), (0.12 * wide, y + 50, 28), (0.22 * wide, y + 42, 5)],
        11,
        "pancreas",
    )
    scale, lean = anatomy.spleen_scale, anatomy.body.lean
    centre = ((0.14 * lean - 0.76) * wide, middle - 0.3 * deep, 78 - 24 * lean)  # in the lean, beside the left kidney
    box, spleen = ellipsoid(canvas, centre, (28 * scale, 37 * scale, 47 * scale))
    canvas.paint(box, spleen < 1, "spleen")
    _paint_liver(canvas, anatomy)
    box, bladder = ellipsoid(canvas, (0.42 * wide, middle + 0.42 * deep, 24), (14, 14, 27))
    canvas.paint(box, bladder < 1, "bile")
    _paint_lungs(canvas, wide, deep, middle)


def _paint_liver(canvas: Canvas, anatomy: Anatomy) -> None:
    wide, deep, middle = cavity_frame(anatomy)
    scale, lean = anatomy.liver_scale, anatomy.body.lean
    # In the lean the right lobe fills the flank, down beside the kidney.
    centre, tall = (0.5 * wide, middle + 0.06 * deep, 72 - 30 * lean), 82 * scale + 28 * lean
    right = ellipsoid(canvas, centre, (0.6 * wide * scale, 0.92 * deep, tall), square=0.8 * lean)
    left = ellipsoid(canvas, (-0.05 * wide, middle + 0.5 * deep, 92), (0.5 * wide * scale, 0.42 * deep, 44 * scale))
    for box, radius in (right, left):
        inside = radius < 1
        vessels = _around_curves(canvas, box, 16.0)
        canvas.paint(box, inside, "liver")
        canvas.paint(box, inside & (vessels < 0.04) & (radius < 0.85), "portal")


def _paint_lungs(canvas: Canvas, wide: float, deep: float, middle: float) -> None:
    box = box_around(canvas.grid, np.array([-400, -400, 60], np.float32), np.array([400, 400, 400], np.float32))
    x, y, z = canvas.coordinates(box)
    flat = np.square((np.abs(x) - 0.45 * wide) / (0.8 * wide)) + np.square((y - middle) / deep)
    dome = z - (138 - 70 * flat).astype(np.float32)
    canvas.paint(box, dome > 0, "muscle")
    canvas.paint(box, dome > 3, "lung")
    box, heart = ellipsoid(canvas, (-18, middle + 0.45 * deep, 172), (52, 0.5 * deep, 42))
    canvas.paint(box, heart < 1, "muscle")
    canvas.paint(box, heart < 0.6, "artery")


def paint_great_vessels(canvas: Canvas, anatomy: Anatomy) -> None:
    """Aorta, vena cava, their branches to the legs, portal and mesenteric vessels."""
    y = anatomy.body.spine_y + 29
    radius = 8.5 + anatomy.age / 40
    paint_tube(canvas, [(-12, y - 4, 230), (-9, y, 60), (-7, y + 2, -75)], radius, "artery")
    paint_tube(canvas, [(17, y + 18, 180), (18, y + 4, 90), (17, y - 1, -80)], 10.5, "vein")
    for sign in (-1, 1):
        paint_tube(canvas, [(0, y, -75), (sign * 45, y - 8, -170)], 6, "artery")
        paint_tube(canvas, [(12, y - 6, -80), (sign * 42, y - 16, -170)], 7, "vein")
    paint_tube(canvas, [(-5, y + 26, 25), (14, y + 24, 55), (45, y + 20, 85)], 6.5, "portal")
    paint_tube(canvas, [(-8, y + 10, 45), (-8, y + 22, 30), (-4, y + 28, -40)], 3.5, "artery")
