"""Kidneys with cortex, pyramids, sinus and vessels, and the masses and cysts in them."""

from __future__ import annotations

import numpy as np

from lib.phantom.anatomy import Body, Kidney, Lesion, Point
from lib.phantom.canvas import Box, Canvas, NoiseKey, as_point, paint_tube, turned
from lib.phantom.noise import Array

_PERIRENAL = 0.32  # thickness of the fat around a kidney, of its semi-axes, where visceral fat is 1


def paint_kidney(canvas: Canvas, kidney: Kidney, body: Body) -> None:
    """Perirenal fat, cortex, pyramids, sinus, and what enters and leaves at the hilum."""
    box, u, v, w = _kidney_frame(canvas, kidney, 1.4)
    fine = canvas.noise(box, NoiseKey.FINE, 7.0)
    radius = np.sqrt(u * u + v * v + w * w)
    shape = radius * (1 + np.float32(0.012) * fine)
    perirenal = np.float32(1 + _PERIRENAL * body.visceral)  # in the lean, liver and spleen touch the kidney
    canvas.paint(box, shape < perirenal + np.float32(0.04) * fine, "fat")
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
    _paint_hilum(canvas, kidney, body.spine_y)


def _kidney_frame(canvas: Canvas, kidney: Kidney, reach: float) -> tuple[Box, Array, Array, Array]:
    """Coordinates as fractions of the semi-axes, unbent."""
    longest = max(kidney.radii_mm) * reach
    box = canvas.box(kidney.centre_ras, (0.75 * longest, 0.75 * longest, longest))
    u, v, w = turned(canvas.coordinates(box), kidney.centre_ras, kidney.axes)
    radii = kidney.radii_mm
    w = w / np.float32(radii[2])
    u = (u - np.float32(kidney.bend_mm) * np.minimum(w * w, 1)) / np.float32(radii[0])
    return box, u, v / np.float32(radii[1]), w


def _paint_hilum(canvas: Canvas, kidney: Kidney, spine_y: float) -> None:
    """Renal artery and vein, calyces, pelvis and ureter."""
    sign = 1.0 if kidney.side == "right" else -1.0
    pelvis, gate = _inside(kidney, (0.75, -0.05, -0.05)), _inside(kidney, (0.55, 0.1, 0.08))
    great = (18.0 if sign > 0 else -9.0, spine_y + 29, gate[2] + 8)
    aorta = (-9.0, spine_y + 29, gate[2] + 12)
    paint_tube(
        canvas,
        [great if sign > 0 else (17.0, spine_y + 36, gate[2] + 8), _inside(kidney, (1.3, 0.15, 0.1)), gate],
        4,
        "vein",
    )
    paint_tube(canvas, [aorta, _inside(kidney, (1.4, -0.05, 0.12)), gate], 2.6, "artery")
    for a, b, c in kidney.pyramids:
        tip = _inside(kidney, (0.62 * a + 0.12, 0.55 * b, 0.8 * c))
        paint_tube(canvas, [tip, pelvis], kidney.calyx_mm * (0.75 if kidney.calyx_mm < 4 else 1), "urine")
    box = canvas.box(pelvis, (16, 16, 16))
    x, y, z = canvas.coordinates(box)
    away = sum(np.square(axis - np.float32(c)) for axis, c in zip((x, y, z), pelvis, strict=True))
    canvas.paint(box, away < (3.2 + 1.5 * kidney.calyx_mm) ** 2, "urine")
    low = kidney.centre_ras[2] - kidney.radii_mm[2]
    path = [_inside(kidney, (1.15, -0.1, -0.25)), (sign * 40, spine_y + 24, low), (sign * 38, spine_y + 30, -230.0)]
    paint_tube(canvas, [pelvis, path[0]], 2.5, "ureter")
    paint_tube(canvas, path, 2.2, "ureter")


def _inside(kidney: Kidney, fractions: Point) -> Point:
    """The patient point at fractions of the kidney's semi-axes."""
    local = np.array(fractions) * np.array(kidney.radii_mm)
    local[0] += kidney.bend_mm * min(1.0, fractions[2] ** 2)
    return as_point(np.array(kidney.centre_ras) + local @ np.array(kidney.axes))


def paint_lesion(canvas: Canvas, lesion: Lesion, index: int) -> None:
    """A dented ellipsoid; rigid, so that its size is the one in the description."""
    box = canvas.box(lesion.centre_ras, (lesion.size_mm / 2,) * 3)
    if 0 in canvas.layer[box].shape:
        return
    centre = _rest_position(canvas, lesion)
    local = turned(canvas.grid.crop(box).open, centre, lesion.axes)
    radius = np.sqrt(sum(np.square(axis / np.float32(r)) for axis, r in zip(local, lesion.radii_mm, strict=True)))
    dents = np.clip(0.35 + 0.3 * canvas.noise(box, NoiseKey.LESION + 2 * index, max(lesion.size_mm / 2.5, 5.0)), 0, 1)
    depth = radius / (1 - np.float32(lesion.roughness) * dents)
    canvas.paint(box, (depth < 1.12) & (canvas.layer[box] > 0), "fat" if lesion.outward > 0.3 else "cortex")
    canvas.paint(box, depth < 1, lesion.tissue)
    if lesion.kind == "mass":
        inner = canvas.noise(box, NoiseKey.LESION + 2 * index + 1, max(lesion.size_mm / 5, 3.5))
        _paint_interior(canvas, box, lesion, depth, inner)


def _paint_interior(canvas: Canvas, box: Box, lesion: Lesion, depth: Array, noise: Array) -> None:
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


def _rest_position(canvas: Canvas, lesion: Lesion) -> Point:
    """Where the displaced kidney's surface carries the lesion's centre."""
    nearest = [
        int(np.clip(np.searchsorted(axis, c), 0, len(axis) - 1))
        for axis, c in zip(canvas.grid.axes, lesion.centre_ras, strict=True)
    ]
    moved = [float(field[nearest[0], nearest[1], nearest[2]]) for field in canvas.warp]
    return as_point(np.array(lesion.centre_ras) - np.array(moved))
