"""Anatomy to voxels: one tissue code a voxel, organs apart from the trunk so that they can move with the breath."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lib.phantom.anatomy import Anatomy, Kidney, Lesion, Point
from lib.phantom.noise import Array, Grid, box_around, smooth_noise
from lib.phantom.tissues import CODES, TISSUES

Codes = NDArray[np.uint8]
Box = tuple[slice, slice, slice]
Mask = NDArray[np.bool_]

FINE_MM = (1.25, 1.25, 2.0)
# Lowest and highest point of the raster, in mm: an axial stack needs the kidneys, a coronal slab the whole trunk.
SPAN_MM: dict[str, tuple[float, float]] = {"axial": (-146.0, 152.0), "coronal": (-206.0, 206.0)}
_ARM_ROOM_MM = 95.0
_WARP = ((42.0, 3.2), (15.0, 0.9))  # (step of the control points, standard deviation of the displacement) in mm
# Keys of the noise fields of one patient; a field is shared wherever the same key is used.
_TEXTURE, _WARP_KEY, _FINE, _TUBE_A, _TUBE_B, _BOWEL_A, _BOWEL_B, _FILL, _LESION = range(1, 10)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Canvas:
    """What painting needs: the grid, its displacement and the layer to paint on."""

    grid: Grid
    warp: tuple[Array, Array, Array]
    layer: Codes
    seed: int

    def noise(self, box: Box, key: int, step_mm: float) -> Array:
        return smooth_noise(self.grid.crop(box), step_mm=step_mm, seed=(self.seed, key))

    def coordinates(self, box: Box) -> tuple[Array, Array, Array]:
        """Displaced coordinates inside a box, in mm."""
        x, y, z = self.grid.crop(box).open
        return x + self.warp[0][box], y + self.warp[1][box], z + self.warp[2][box]

    def box(self, centre: Point, reach_mm: Point) -> Box:
        """The box around a shape, with room for the displacement."""
        middle, reach = np.asarray(centre, np.float32), np.asarray(reach_mm, np.float32) + 14
        return box_around(self.grid, middle - reach, middle + reach)

    def paint(self, box: Box, where: Mask, tissue: str) -> None:
        self.layer[box][where] = CODES[tissue]


def label_table() -> Codes:
    """Structure value of each tissue code."""
    return np.array([row.label for row in TISSUES.values()], np.uint8)


def fine_grid(anatomy: Anatomy, view: Literal["axial", "coronal"], fine_mm: Point = FINE_MM) -> Grid:
    """Lay the common grid of one patient's images around the trunk."""
    body = anatomy.body
    wide = body.half_width_mm + (_ARM_ROOM_MM if body.arms else 8)
    deep = body.half_depth_mm + 8
    spans = ((-wide, wide), (-deep, deep), SPAN_MM[view])
    x, y, z = (
        np.arange(math.floor(low / step), math.ceil(high / step) + 1).astype(np.float32) * np.float32(step)
        for (low, high), step in zip(spans, fine_mm, strict=True)
    )
    return Grid(x=x, y=y, z=z)


def rasterise(anatomy: Anatomy, grid: Grid) -> Layers:
    """Turn a description into tissue codes on a grid."""
    seed = anatomy.noise_seed
    warp = _warp(grid, seed)
    trunk = _Canvas(grid=grid, warp=warp, layer=np.zeros(grid.shape, np.uint8), seed=seed)
    cavity = _paint_trunk(trunk, anatomy)
    organs = _Canvas(grid=grid, warp=warp, layer=np.zeros(grid.shape, np.uint8), seed=seed)
    _paint_bowel(organs, anatomy)
    _paint_upper_organs(organs, anatomy)
    _paint_great_vessels(organs, anatomy)
    for kidney in anatomy.kidneys:
        _paint_kidney(organs, kidney, anatomy.body.spine_y)
    for index, lesion in enumerate(anatomy.lesions):
        _paint_lesion(organs, lesion, index)
    texture = smooth_noise(grid, step_mm=6.0, seed=(seed, _TEXTURE))
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
        [smooth_noise(grid, step_mm=step, seed=(seed, _WARP_KEY, axis, octave)) * np.float32(size) for axis in range(3)]
        for octave, (step, size) in enumerate(_WARP)
    )
    return first[0] + second[0], first[1] + second[1], first[2] + second[2]


def _cavity_frame(anatomy: Anatomy) -> tuple[float, float, float]:
    """Half width, half depth and middle (y) of the abdominal cavity."""
    body = anatomy.body
    side, front, _ = body.fat_mm
    top, bottom = body.half_depth_mm - front - body.wall_mm, body.spine_y - 27
    return body.half_width_mm - side - body.wall_mm - 3, (top - bottom) / 2, (top + bottom) / 2


def _squircle(x: Array, y: Array, half: tuple[float, float], middle: float, square: float) -> Array:
    """Below 1 inside a rounded box; ``square`` 0 is an ellipse, 1 a rectangle."""
    u, v = np.square(x / np.float32(half[0])), np.square((y - np.float32(middle)) / np.float32(half[1]))
    return u + v - np.float32(square) * u * v


def _paint_trunk(canvas: _Canvas, anatomy: Anatomy) -> Mask:
    """Skin, fat, muscle, ribs and spine; returns where the cavity is."""
    body = anatomy.body
    whole: Box = (slice(None), slice(None), slice(None))
    x, y, z = canvas.coordinates(whole)
    waist = 1 - np.float32(0.06) * np.exp(-np.square((canvas.grid.open[2] + 45) / 60))
    x = x / waist
    side, front, back = body.fat_mm
    skin = _squircle(x, y, (body.half_width_mm, body.half_depth_mm), 0.0, 0.45)
    deep = (2 * body.half_depth_mm - front - back) / 2
    shell = _squircle(x, y, (body.half_width_mm - side, deep), (back - front) / 2, 0.35)
    half_width, half_depth, middle = _cavity_frame(anatomy)
    inner = _squircle(x, y, (half_width, half_depth), middle, 0.3)
    canvas.layer[skin < 1] = CODES["skin_fat"]
    muscle = (shell < 1) & (skin < 1)
    canvas.layer[muscle] = CODES["muscle"]
    streaks = np.abs(canvas.noise(whole, _FINE, 11.0)) < 0.07
    canvas.layer[muscle & streaks] = CODES["fat"]
    _paint_ribs(canvas, x, y, z, (shell < 0.96) & (inner > 1.05), body.spine_y)
    cavity = (inner < 1) & muscle
    canvas.layer[cavity] = CODES["fat"]
    _paint_spine(canvas, body.spine_y)
    if body.arms:
        _paint_arms(canvas, body.half_width_mm)
    cavity &= canvas.layer == CODES["fat"]
    return cavity


def _paint_ribs(canvas: _Canvas, x: Array, y: Array, z: Array, shell: Mask, spine_y: float) -> None:
    """Bands that fall to the front inside the chest wall, down to the twelfth rib."""
    phase = np.abs((z + np.float32(0.45) * (y - np.float32(spine_y))) % 28 - 14)
    bands = shell & (np.abs(x) > 50) & (phase < 6) & (z + np.float32(0.5) * y > -5)
    canvas.layer[bands] = CODES["bone"]
    canvas.layer[bands & (phase < 4)] = CODES["marrow"]


def _paint_spine(canvas: _Canvas, spine_y: float) -> None:
    reach = (62.0, 55.0, 400.0)
    box = canvas.box((0.0, spine_y - 12, 0.0), reach)
    x, y, z = canvas.coordinates(box)
    x = x - canvas.warp[0][box] * np.float32(0.6)  # bone bends less than what surrounds it
    y = y - np.float32(spine_y)
    level = (z + 18) % 36
    growth = np.clip((45 - z) / 150, 0, 1.0)
    psoas = np.square((np.abs(x) - 29 - 14 * growth) / (5 + 19 * growth)) + np.square((y - 2) / (6 + 20 * growth)) < 1
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
    canvas.paint(box, cord & (canvas.noise(box, _FINE, 4.0) > np.clip(-z / 30, -1.5, 0.6)), "muscle")


def _paint_arms(canvas: _Canvas, half_width: float) -> None:
    for sign in (-1, 1):
        centre = (sign * (half_width + 46.0), -12.0, 0.0)
        box = canvas.box(centre, (46.0, 46.0, 400.0))
        x, y, _ = canvas.coordinates(box)
        around = np.hypot(x - np.float32(centre[0]), y + 12)
        for radius, tissue in ((38, "skin_fat"), (31, "muscle"), (11, "bone"), (8, "marrow")):
            canvas.paint(box, around < radius, tissue)


def _ellipsoid(canvas: _Canvas, centre: Point, radii: Point) -> tuple[Box, Array]:
    """Box and squared radius (1 on the surface) of an ellipsoid along the patient's axes."""
    box = canvas.box(centre, radii)
    x, y, z = canvas.coordinates(box)
    parts = ((axis - np.float32(c)) / np.float32(r) for axis, c, r in zip((x, y, z), centre, radii, strict=True))
    u, v, w = parts
    return box, u * u + v * v + w * w


def _tube(canvas: _Canvas, points: list[Point], radius_mm: float, tissue: str, fill: str | None = None) -> None:
    """Paint a chain of straight pipes; ``fill`` is what flows inside a wall of 2 mm."""
    for start, end in zip(points[:-1], points[1:], strict=True):
        a, b = np.asarray(start, np.float32), np.asarray(end, np.float32)
        middle = (a + b) / 2
        reach = np.abs(a - b) / 2 + radius_mm
        box = canvas.box(_point(middle), _point(reach))
        x, y, z = canvas.coordinates(box)
        x, y, z = x - a[0], y - a[1], z - a[2]
        line = b - a
        along = np.clip((x * line[0] + y * line[1] + z * line[2]) / max(float(line @ line), 1e-3), 0, 1)
        away = np.square(x - along * line[0]) + np.square(y - along * line[1]) + np.square(z - along * line[2])
        canvas.paint(box, away < radius_mm**2, tissue)
        if fill:
            canvas.paint(box, away < max(radius_mm - 2, 0.5) ** 2, fill)


def _paint_bowel(canvas: _Canvas, anatomy: Anatomy) -> None:
    """Loops of small bowel as tubes between two noise fields, and the colon as a haustrated pipe."""
    half_width, half_depth, middle = _cavity_frame(anatomy)
    low = np.array([-0.85 * half_width, anatomy.body.spine_y + 32, -400], np.float32)
    high = np.array([0.85 * half_width, middle + 0.9 * half_depth, 45], np.float32)
    box = box_around(canvas.grid, low, high)
    radius = np.square(canvas.noise(box, _BOWEL_A, 21.0)) + np.square(canvas.noise(box, _BOWEL_B, 21.0))
    fill = canvas.noise(box, _FILL, 24.0)
    size = np.float32(0.75 - 0.3 * anatomy.body.visceral)
    canvas.paint(box, radius < size, "bowel_wall")
    canvas.paint(box, (radius < 0.55 * size) & (fill > 0.1), "bowel_content")
    canvas.paint(box, (radius < 0.5 * size) & (fill > 0.7), "bowel_fluid")
    canvas.paint(box, (radius < 0.45 * size) & (fill < -1.1), "air")
    vessels = np.square(canvas.noise(box, _TUBE_A, 17.0)) + np.square(canvas.noise(box, _TUBE_B, 17.0)) < 0.012
    canvas.paint(box, vessels & (radius > size), "vein")
    for sign in (-1, 1):
        _paint_colon(canvas, sign, half_width, middle)


def _paint_colon(canvas: _Canvas, sign: int, half_width: float, middle: float) -> None:
    top = 20.0 if sign > 0 else 55.0
    centre = (sign * (half_width - 30), middle - 6, top - 130)
    box = canvas.box(centre, (30, 30, 130))
    x, y, z = canvas.coordinates(box)
    radius = np.hypot(x - np.float32(centre[0]), y - np.float32(centre[1]))
    wall = 19 + 4 * np.cos(z * np.float32(2 * math.pi / 24))
    inside = (radius < wall - 2.5) & (z < top - 2)
    fill = canvas.noise(box, _FILL, 9.0) + np.float32(0.06) * (y - np.float32(centre[1]))
    canvas.paint(box, (radius < wall) & (z < top), "bowel_wall")
    canvas.paint(box, inside, "bowel_content")
    canvas.paint(box, inside & (fill > 0.9), "air")


def _paint_upper_organs(canvas: _Canvas, anatomy: Anatomy) -> None:
    """Stomach, pancreas, gallbladder, spleen, liver and lungs."""
    wide, deep, middle = _cavity_frame(anatomy)
    box, stomach = _ellipsoid(canvas, (-0.36 * wide, middle + 0.38 * deep, 72), (0.36 * wide, 0.42 * deep, 48))
    front = canvas.grid.crop(box).open[1] + np.float32(4) * canvas.noise(box, _FILL, 24.0)
    canvas.paint(box, stomach < 1, "bowel_wall")
    canvas.paint(box, stomach < 0.82, "bowel_fluid")
    canvas.paint(box, (stomach < 0.82) & (front > middle + 0.5 * deep), "air")
    y = anatomy.body.spine_y
    _tube(
        canvas,
        [(-0.55 * wide, y + 25, 52), (-0.15 * wide, y + 52, 42), (0.12 * wide, y + 50, 28), (0.22 * wide, y + 42, 5)],
        11,
        "pancreas",
    )
    scale = anatomy.spleen_scale
    box, spleen = _ellipsoid(canvas, (-0.76 * wide, middle - 0.3 * deep, 78), (30 * scale, 42 * scale, 50 * scale))
    canvas.paint(box, spleen < 1, "spleen")
    _paint_liver(canvas, anatomy)
    box, bladder = _ellipsoid(canvas, (0.42 * wide, middle + 0.42 * deep, 24), (14, 14, 27))
    canvas.paint(box, bladder < 1, "bile")
    _paint_lungs(canvas, wide, deep, middle)


def _paint_liver(canvas: _Canvas, anatomy: Anatomy) -> None:
    wide, deep, middle = _cavity_frame(anatomy)
    scale = anatomy.liver_scale
    right = _ellipsoid(canvas, (0.5 * wide, middle + 0.06 * deep, 72), (0.6 * wide * scale, 0.92 * deep, 82 * scale))
    left = _ellipsoid(canvas, (-0.05 * wide, middle + 0.5 * deep, 92), (0.5 * wide * scale, 0.42 * deep, 44 * scale))
    for box, radius in (right, left):
        inside = radius < 1
        vessels = np.square(canvas.noise(box, _TUBE_A, 19.0)) + np.square(canvas.noise(box, _TUBE_B, 19.0))
        canvas.paint(box, inside, "liver")
        canvas.paint(box, inside & (vessels < 0.018) & (radius < 0.85), "portal")


def _paint_lungs(canvas: _Canvas, wide: float, deep: float, middle: float) -> None:
    box = box_around(canvas.grid, np.array([-400, -400, 60], np.float32), np.array([400, 400, 400], np.float32))
    x, y, z = canvas.coordinates(box)
    flat = np.square((np.abs(x) - 0.45 * wide) / (0.8 * wide)) + np.square((y - middle) / deep)
    dome = z - (138 - 70 * flat).astype(np.float32)
    canvas.paint(box, dome > 0, "muscle")
    canvas.paint(box, dome > 3, "lung")
    box, heart = _ellipsoid(canvas, (-18, middle + 0.45 * deep, 172), (52, 0.5 * deep, 42))
    canvas.paint(box, heart < 1, "muscle")
    canvas.paint(box, heart < 0.6, "artery")


def _paint_great_vessels(canvas: _Canvas, anatomy: Anatomy) -> None:
    y = anatomy.body.spine_y + 29
    radius = 8.5 + anatomy.age / 40
    _tube(canvas, [(-12, y - 4, 230), (-9, y, 60), (-7, y + 2, -75)], radius, "artery")
    _tube(canvas, [(17, y + 18, 180), (18, y + 4, 90), (17, y - 1, -80)], 10.5, "vein")
    for sign in (-1, 1):
        _tube(canvas, [(0, y, -75), (sign * 45, y - 8, -170)], 6, "artery")
        _tube(canvas, [(12, y - 6, -80), (sign * 42, y - 16, -170)], 7, "vein")
    _tube(canvas, [(-5, y + 26, 25), (14, y + 24, 55), (45, y + 20, 85)], 6.5, "portal")
    _tube(canvas, [(-8, y + 10, 45), (-8, y + 22, 30), (-4, y + 28, -40)], 3.5, "artery")


def _kidney_frame(canvas: _Canvas, kidney: Kidney, reach: float) -> tuple[Box, Array, Array, Array]:
    """Coordinates as fractions of the semi-axes, unbent."""
    longest = max(kidney.radii_mm) * reach
    box = canvas.box(kidney.centre_ras, (0.75 * longest, 0.75 * longest, longest))
    u, v, w = _turned(canvas.coordinates(box), kidney.centre_ras, kidney.axes)
    radii = kidney.radii_mm
    w = w / np.float32(radii[2])
    u = (u - np.float32(kidney.bend_mm) * np.minimum(w * w, 1)) / np.float32(radii[0])
    return box, u, v / np.float32(radii[1]), w


def _turned(
    xyz: tuple[Array, Array, Array], centre: Point, axes: tuple[Point, Point, Point]
) -> tuple[Array, Array, Array]:
    x, y, z = (axis - np.float32(c) for axis, c in zip(xyz, centre, strict=True))
    first, second, third = (
        np.float32(axis[0]) * x + np.float32(axis[1]) * y + np.float32(axis[2]) * z for axis in axes
    )
    return first, second, third


def _paint_kidney(canvas: _Canvas, kidney: Kidney, spine_y: float) -> None:
    box, u, v, w = _kidney_frame(canvas, kidney, 1.25)
    fine = canvas.noise(box, _FINE, 7.0)
    radius = np.sqrt(u * u + v * v + w * w)
    shape = radius * (1 + np.float32(0.012) * fine)
    canvas.paint(box, shape < 1.22, "fat")  # perirenal fat keeps other organs away
    canvas.paint(box, shape < 1, "cortex")
    small = min(kidney.radii_mm[:2])
    depth = kidney.cortex_mm / small + np.float32(0.02) * fine
    medulla = np.zeros(radius.shape, np.bool_)
    for a, b, c in kidney.pyramids:
        near = np.square((u - np.float32(a)) / 0.3) + np.square((v - np.float32(b)) / 0.32)
        medulla |= near + np.square((w - np.float32(c)) / 0.155) < 1 + np.float32(0.15) * fine
    canvas.paint(box, medulla & (shape < 1 - depth), "medulla")
    hollow = np.square((u - 0.62) / 0.78) + np.square(v / 0.36) + np.square(w / 0.52)
    canvas.paint(box, (hollow < 1 + np.float32(0.2) * fine) & (shape < 1.1), "fat")
    _paint_hilum(canvas, kidney, spine_y)


def _paint_hilum(canvas: _Canvas, kidney: Kidney, spine_y: float) -> None:
    """Renal artery and vein, calyces, pelvis and ureter."""
    sign = 1.0 if kidney.side == "right" else -1.0
    pelvis, gate = _inside(kidney, (0.75, -0.05, -0.05)), _inside(kidney, (0.55, 0.1, 0.08))
    great = (18.0 if sign > 0 else -9.0, spine_y + 29, gate[2] + 8)
    aorta = (-9.0, spine_y + 29, gate[2] + 12)
    _tube(
        canvas,
        [great if sign > 0 else (17.0, spine_y + 36, gate[2] + 8), _inside(kidney, (1.3, 0.15, 0.1)), gate],
        4,
        "vein",
    )
    _tube(canvas, [aorta, _inside(kidney, (1.4, -0.05, 0.12)), gate], 2.6, "artery")
    for a, b, c in kidney.pyramids:
        tip = _inside(kidney, (0.62 * a + 0.12, 0.55 * b, 0.8 * c))
        _tube(canvas, [tip, pelvis], kidney.calyx_mm * (0.75 if kidney.calyx_mm < 4 else 1), "urine")
    box = canvas.box(pelvis, (16, 16, 16))
    x, y, z = canvas.coordinates(box)
    away = sum(np.square(axis - np.float32(c)) for axis, c in zip((x, y, z), pelvis, strict=True))
    canvas.paint(box, away < (3.2 + 1.5 * kidney.calyx_mm) ** 2, "urine")
    low = kidney.centre_ras[2] - kidney.radii_mm[2]
    path = [_inside(kidney, (1.15, -0.1, -0.25)), (sign * 40, spine_y + 24, low), (sign * 38, spine_y + 30, -230.0)]
    _tube(canvas, [pelvis, path[0]], 2.5, "ureter")
    _tube(canvas, path, 2.2, "ureter")


def _inside(kidney: Kidney, fractions: Point) -> Point:
    """The patient point at fractions of the kidney's semi-axes."""
    local = np.array(fractions) * np.array(kidney.radii_mm)
    local[0] += kidney.bend_mm * min(1.0, fractions[2] ** 2)
    return _point(np.array(kidney.centre_ras) + local @ np.array(kidney.axes))


def _paint_lesion(canvas: _Canvas, lesion: Lesion, index: int) -> None:
    """A dented ellipsoid; rigid, so that its size is the one in the description."""
    box = canvas.box(lesion.centre_ras, (lesion.size_mm / 2,) * 3)
    if 0 in canvas.layer[box].shape:
        return
    centre = _rest_position(canvas, lesion)
    local = _turned(canvas.grid.crop(box).open, centre, lesion.axes)
    radius = np.sqrt(sum(np.square(axis / np.float32(r)) for axis, r in zip(local, lesion.radii_mm, strict=True)))
    dents = np.clip(0.5 + 0.3 * canvas.noise(box, _LESION + 2 * index, max(lesion.size_mm / 2.5, 5.0)), 0, 1)
    depth = radius / (1 - np.float32(lesion.roughness) * dents)
    canvas.paint(box, (depth < 1.12) & (canvas.layer[box] > 0), "fat" if lesion.outward > 0.3 else "cortex")
    canvas.paint(box, depth < 1, lesion.tissue)
    if lesion.kind == "mass":
        inner = canvas.noise(box, _LESION + 2 * index + 1, max(lesion.size_mm / 5, 3.5))
        _paint_interior(canvas, box, lesion, depth, inner)


def _paint_interior(canvas: _Canvas, box: Box, lesion: Lesion, depth: Array, noise: Array) -> None:
    if lesion.interior == "necrotic":
        canvas.paint(box, depth < 0.58 + 0.22 * noise, "necrosis")
    elif lesion.interior == "haemorrhagic":
        canvas.paint(box, (depth < 0.85) & (noise > 0.55), "haemorrhage")
    elif lesion.interior == "cystic":
        canvas.paint(box, (depth < 0.82) & (np.abs(noise) > 0.22), "mass_fluid")
    elif lesion.interior == "scar":
        canvas.paint(box, (depth < 0.6) & (np.abs(noise) < 0.9 * (0.6 - depth)), "scar")
    if lesion.size_mm > 15 and lesion.tissue in ("clear cell", "papillary", "chromophobe"):
        canvas.paint(box, (depth < 1) & (depth > 1 - 2.4 / lesion.size_mm) & (noise > -0.6), "capsule")


def _rest_position(canvas: _Canvas, lesion: Lesion) -> Point:
    """Where the displaced kidney's surface carries the lesion's centre."""
    nearest = [
        int(np.clip(np.searchsorted(axis, c), 0, len(axis) - 1))
        for axis, c in zip(canvas.grid.axes, lesion.centre_ras, strict=True)
    ]
    moved = [float(field[nearest[0], nearest[1], nearest[2]]) for field in canvas.warp]
    return _point(np.array(lesion.centre_ras) - np.array(moved))


def _point(values: np.ndarray) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
