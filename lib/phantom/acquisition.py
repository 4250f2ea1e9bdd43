"""The scanner: one plan per image, and voxels of tissue to an image as that scanner would store it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft, ndimage

from lib.imaging.volume import Volume
from lib.phantom.anatomy import Anatomy, Point
from lib.phantom.canvas import Codes
from lib.phantom.contrast import Relaxation, SequenceContrast, draw_uptake, get_contrast, tissue_signal
from lib.phantom.noise import Array, Grid, smooth_noise
from lib.phantom.raster import Layers, compose, label_table
from lib.phantom.scanners import ScannerSpec
from lib.phantom.tissues import CODES, TISSUES

Affine = NDArray[np.float64]
View = Literal["axial", "coronal"]
_Scalar = TypeVar("_Scalar", bound=np.generic)

BREATH_MM = (0.8, 1.5, 4.5)  # how far a breath-hold differs from the next: standard deviation along (x, y, z)
_LARGEST = 32000
_FAILED_SUPPRESSION = 0.01  # share of images in which fat suppression fails everywhere
_OBLIQUE = 0.3
_USUALLY_APART_MM = 60.0  # from one kidney's centre to the other's along the body, at most
_POLES_MM = 20.0  # beyond that, so that its lower pole is in the image
# Storage orders: the sign of the patient axis that each voxel axis follows.
_STORAGE: dict[View, tuple[tuple[int, int, int], ...]] = {
    "axial": ((-1, 1, 1), (1, 1, 1), (-1, -1, 1), (-1, -1, -1)),
    "coronal": ((-1, -1, -1), (-1, 1, 1), (1, 1, 1)),
}
_VOXEL_AXES: dict[View, tuple[int, int, int]] = {"axial": (0, 1, 2), "coronal": (0, 2, 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything about one image that is decided before the patient is seen.

    Attributes:
        kind: Spoiled gradient echo or fast spin echo.
        slices: Taken one by one, or as one volume.
        shape: Voxels along (i, j, k); k counts slices.
        affine: Voxel indices to RAS, in mm.
        slice_mm: Thickness of a slice (their distance may be larger).
        breath_mm: Where the organs are, relative to the description.
        fat: How the image treats it.
        fat_left: Suppressed fat's remaining signal.
        fat_failure: Strength of local failures of the suppression.
        snr: Of unenhanced cortex.
        level: Stored value of unenhanced cortex.
        acquired: Fraction of k-space along (i, j).
        taper: Width of the k-space filter.
        ghost: Strength of a copy shifted along the phase-encoding axis.
        seed: Of everything random in the image itself.
    """

    kind: Literal["spoiled", "spin_echo"]
    slices: Literal["2D", "3D"]
    field_t: float
    tr_ms: float
    te_ms: float
    flip_deg: float
    view: View
    shape: tuple[int, int, int]
    affine: Affine
    slice_mm: float
    breath_mm: Point
    fat: Literal["bright", "suppressed", "opposed"]
    fat_left: float
    fat_failure: float
    snr: float
    level: float
    shading: float
    acquired: tuple[float, float]
    taper: float
    ghost: float
    seed: tuple[int, ...]


def plan_image(
    rng: Generator,
    *,
    sequence: str,
    scanner: ScannerSpec,
    anatomy: Anatomy,
    matrix: tuple[int, int, int] | None = None,
) -> Plan:
    """Draw the protocol of one image.

    Args:
        rng: Of this image alone.
        sequence: Row of CONTRAST.
        scanner: Where it is taken.
        anatomy: Who lies in it: the field of view follows the patient.
        matrix: Voxels (i, j, k) to use in place of the protocol's, over the same field of view.

    Raises:
        UnknownSequenceError: When no row has this code.
    """
    row = get_contrast(sequence)
    if row.other and rng.random() < row.other[0]:
        row = row.other[1]
    view: View = "coronal" if rng.random() < row.coronal else "axial"
    shape, affine, slice_mm = _draw_geometry(rng, row, scanner, anatomy, view, matrix)
    fat = _draw_fat(rng, row)
    failed = fat == "suppressed" and rng.random() < _FAILED_SUPPRESSION
    breath = rng.normal(0, BREATH_MM)
    return Plan(
        kind=row.kind,
        slices=row.slices,
        field_t=scanner.field_t,
        tr_ms=float(rng.uniform(*row.tr_ms)),
        te_ms=float(rng.uniform(*row.te_ms)),
        flip_deg=float(rng.uniform(*row.flip_deg)),
        view=view,
        shape=shape,
        affine=affine,
        slice_mm=slice_mm,
        breath_mm=(float(breath[0]), float(breath[1]), float(breath[2])),
        fat=fat,
        fat_left=1.0 if failed else float(rng.uniform(*scanner.fat_left)),
        fat_failure=float(rng.uniform(*scanner.fat_failure)),
        snr=float(rng.uniform(*scanner.snr)),
        level=float(rng.uniform(*scanner.level)),
        shading=scanner.shading * float(rng.uniform(0.5, 1.3)),
        acquired=(float(rng.uniform(0.9, 1.0)), float(rng.uniform(*scanner.acquired))),
        taper=scanner.taper,
        ghost=float(max(0.0, rng.normal(0, 0.012))),
        seed=tuple(int(word) for word in rng.integers(2**31, size=2)),
    )


def _draw_fat(rng: Generator, row: SequenceContrast) -> Literal["bright", "suppressed", "opposed"]:
    suppressed, opposed = rng.random() < row.fat_suppressed, rng.random() < row.opposed
    return "suppressed" if suppressed else "opposed" if opposed else "bright"


def _draw_geometry(
    rng: Generator,
    row: SequenceContrast,
    scanner: ScannerSpec,
    anatomy: Anatomy,
    view: View,
    matrix: tuple[int, int, int] | None,
) -> tuple[tuple[int, int, int], Affine, float]:
    """Field of view, matrix and direction; lengths along the voxel axes."""
    body = anatomy.body
    pixel = float(rng.uniform(*scanner.pixel_mm)) * row.pixel
    distance = float(rng.uniform(*row.slice_mm))
    wide = 2 * body.half_width_mm * float(rng.uniform(1.0, 1.12))
    heights = [kidney.centre_ras[2] for kidney in anatomy.kidneys] or [0.0]
    middle_z = (min(heights) + max(heights)) / 2 + float(rng.normal(0, 5))
    if view == "axial":
        deep = 2 * body.half_depth_mm * float(rng.uniform(1.02, 1.2))
        fov = (wide, deep, float(rng.uniform(188, 225)) + _taller(heights))
        centre = np.array([rng.normal(0, 4), rng.normal(0, 4), middle_z])
    else:
        fov = (wide * float(rng.uniform(1.0, 1.15)), float(rng.uniform(340, 392)), float(rng.uniform(120, 165)))
        centre = np.array([rng.normal(0, 4), body.spine_y + 14, rng.normal(0, 8)])
    shape = matrix or (8 * round(fov[0] / pixel / 8), 8 * round(fov[1] / pixel / 8), round(fov[2] / distance))
    spacing = np.array(fov) / shape if matrix else np.array([pixel, pixel, distance])
    direction = _draw_direction(rng, view)
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    gap = float(rng.uniform(0.0, 0.2)) if row.slices == "2D" else 0.0
    return shape, affine, float(spacing[2]) * (1 - gap)


def _taller(heights: Sequence[float]) -> float:
    """How much taller an axial stack has to be where a kidney lies in the pelvis, in mm."""
    apart = max(heights) - min(heights)
    return apart - _USUALLY_APART_MM + _POLES_MM if apart > _USUALLY_APART_MM else 0.0


def _draw_direction(rng: Generator, view: View) -> Affine:
    """Unit vectors of the voxel axes as columns; tilted a few degrees in some images."""
    signs = _STORAGE[view][int(rng.integers(len(_STORAGE[view])))]
    direction = np.zeros((3, 3))
    for column, (axis, sign) in enumerate(zip(_VOXEL_AXES[view], signs, strict=True)):
        direction[axis, column] = sign
    tilts = np.radians(rng.normal(0, (4.0, 1.5, 2.0)))
    if rng.random() > _OBLIQUE:
        return direction
    for axis, tilt in enumerate(tilts):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = math.cos(tilt)
        turn[one, two], turn[two, one] = -math.sin(tilt), math.sin(tilt)
        direction = turn @ direction
    return direction


def acquire(layers: Layers, plan: Plan, *, sequence: str, relaxation: Relaxation) -> tuple[Volume, Volume]:
    """Take one image of a rasterised patient.

    Args:
        layers: The patient.
        plan: The protocol.
        sequence: Row of CONTRAST, for the uptake of contrast agent.
        relaxation: The patient's tissues.

    Returns:
        The image (int16) and its label (uint8), on one grid.
    """
    rng = np.random.default_rng(plan.seed)
    signal, reference = _signals(rng, plan, sequence, relaxation)
    spacing = [float(axis[1] - axis[0]) for axis in layers.grid.axes]
    shift = [round(mm / step) for mm, step in zip(plan.breath_mm, spacing, strict=True)]
    tissue = compose(layers, (shift[0], shift[1], shift[2]))
    fine = _paint_signal(layers, tissue, signal / reference, plan)
    image = _receive(rng, _resample(_blur(fine, plan, spacing), layers.grid, plan, order=1), plan)
    stored = np.clip(np.rint(image * np.float32(plan.level)), 0, _LARGEST).astype(np.int16)
    label = _resample(label_table()[tissue], layers.grid, plan, order=0)
    return Volume(data=stored, affine=plan.affine), Volume(data=label, affine=plan.affine)


def _signals(rng: Generator, plan: Plan, sequence: str, relaxation: Relaxation) -> tuple[Array, float]:
    """Signal of each tissue, and that of unenhanced cortex."""
    uptake = draw_uptake(rng, get_contrast(sequence), relaxation)

    def at(concentration: Array) -> Array:
        return tissue_signal(
            kind=plan.kind,
            field_t=plan.field_t,
            tr_ms=plan.tr_ms,
            te_ms=plan.te_ms,
            flip_deg=plan.flip_deg,
            relaxation=relaxation,
            uptake_mm=concentration,
        )

    return at(uptake), float(at(np.zeros_like(uptake))[CODES["cortex"]])


def _paint_signal(layers: Layers, tissue: Codes, signal: Array, plan: Plan) -> Array:
    """Signal on the fine grid, with each tissue's texture and this image's treatment of fat."""
    rough = np.array([row.texture for row in TISSUES.values()], np.float32)
    fine = layers.texture * (signal * rough)[tissue]
    fine += signal[tissue]
    if plan.fat != "bright":
        fat = np.array([row.fat for row in TISSUES.values()])[tissue]
        fine[fat] *= np.float32(-0.9) if plan.fat == "opposed" else _fat_left(layers.grid, plan)[fat]
    return fine


def _fat_left(grid: Grid, plan: Plan) -> Array:
    """Fraction of the fat signal that suppression leaves: more where the main field is off."""
    off = smooth_noise(grid, step_mm=110.0, seed=(*plan.seed, 1))
    left: Array = np.clip(plan.fat_left + plan.fat_failure * np.clip(off - 0.7, 0, None), 0, 1).astype(np.float32)
    return left


def _blur(fine: Array, plan: Plan, spacing: list[float]) -> Array:
    """Average over the slice profile, and in the plane what a coarser grid would alias."""
    voxel = np.linalg.norm(plan.affine[:3, :3], axis=0)
    for column, axis in enumerate(_VOXEL_AXES[plan.view]):
        size = plan.slice_mm if column == 2 else float(voxel[column])
        sigma = 0.36 * math.sqrt(max(size**2 - spacing[axis] ** 2, 0)) / spacing[axis]
        if sigma > 0.2:
            ndimage.gaussian_filter1d(fine, sigma, axis=axis, output=fine, mode="nearest", truncate=2.5)
    return fine


def _resample(fine: NDArray[_Scalar], grid: Grid, plan: Plan, *, order: int) -> NDArray[_Scalar]:
    steps = np.array([float(axis[1] - axis[0]) for axis in grid.axes])
    start = np.array([float(axis[0]) for axis in grid.axes])
    matrix = plan.affine[:3, :3] / steps[:, None]
    offset = (plan.affine[:3, 3] - start) / steps
    image: NDArray[_Scalar] = ndimage.affine_transform(
        fine, matrix, offset, plan.shape, output=fine.dtype, order=order, mode="constant", cval=0, prefilter=False
    )
    return image


def _receive(rng: Generator, image: Array, plan: Plan) -> Array:
    """Coil shading, ghosts, noise and the k-space window; returns the magnitude."""
    image = image * _sensitivity(plan)
    image += np.float32(plan.ghost) * np.roll(image, image.shape[1] // 3, axis=1)
    noise = rng.standard_normal((2, *image.shape), dtype=np.float32) / np.float32(plan.snr)
    received = (image + noise[0]) + 1j * noise[1]
    spectrum = fft.fft2(received.astype(np.complex64), axes=(0, 1), overwrite_x=True)
    for axis, kept in enumerate(plan.acquired):
        window = _window(image.shape[axis], kept, plan.taper)
        spectrum *= window.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    magnitude: Array = np.abs(fft.ifft2(spectrum, axes=(0, 1), overwrite_x=True))
    return magnitude


def _sensitivity(plan: Plan) -> Array:
    """Of the coils: more at the skin of an axial slice, less at the ends of a coronal one."""
    grid = _own_grid(plan)
    along = np.square(grid.open[1] / grid.y[-1]) * np.float32(1.2 if plan.view == "axial" else -1.5)
    gain: Array = np.exp(np.float32(plan.shading) * (smooth_noise(grid, step_mm=140.0, seed=plan.seed) + along))
    return gain


def _window(count: int, kept: float, taper: float) -> Array:
    """One inside the acquired part of k-space, zero outside, falling as a cosine over ``taper`` of it."""
    frequency = np.abs(fft.fftfreq(count)) * 2 / kept
    falling = 0.5 + 0.5 * np.cos(np.pi * np.clip((frequency - 1 + taper) / max(taper, 1e-6), 0, 1))
    return np.where(frequency > 1, 0, falling).astype(np.float32)


def _own_grid(plan: Plan) -> Grid:
    """The image's voxels in its own frame, in mm around its centre."""
    voxel = np.linalg.norm(plan.affine[:3, :3], axis=0)
    x, y, z = (
        (np.arange(n) - (n - 1) / 2).astype(np.float32) * np.float32(s) for n, s in zip(plan.shape, voxel, strict=True)
    )
    return Grid(x=x, y=y, z=z)
