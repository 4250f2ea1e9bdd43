"""Pictures of labels on their image, for people: the patient's right is on the left, as radiologists read."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lib.domain.structures import STRUCTURES
from lib.imaging.geometry import to_canonical
from lib.imaging.volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WINDOW_PERCENT = (1, 99.5)
_ZOOM_MM = 35.0  # half the edge of the enlarged square
_PANEL_IN = 2.4
_DPI = 130
_QUALITY = 82
_PLATE = {"facecolor": "black", "edgecolor": "none", "alpha": 0.6, "pad": 1.5}
_ANTERIOR, _SUPERIOR = 1, 2  # canonical axes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """How an outline is drawn: told apart by dashes, not by colour alone."""

    colour: str
    dashes: str


REFERENCE_STROKE = Stroke(colour="#ffd400", dashes="solid")
PREDICTION_STROKE = Stroke(colour="#00e5ff", dashes="dashed")


def save_overlay(image: Volume, label: Volume, path: Path, title: str = "") -> None:
    """Save an axial and a coronal slice through the middle of what is labelled, with outlines.

    Args:
        image: Any volume.
        label: Values of the structure table on the image's grid.
        path: PNG file to write.
        title: Text above; must not identify a patient.
    """
    from matplotlib.figure import Figure

    pixels = to_canonical(image)
    values, drawn = pixels.data.astype(np.float32), to_canonical(label).data.astype(np.uint8)
    at = np.argwhere(drawn > 0).mean(axis=0) if drawn.any() else np.array(drawn.shape) / 2
    low, high = np.percentile(values, _WINDOW_PERCENT)
    right, anterior, superior = pixels.spacing_mm
    figure = Figure(figsize=(11, 5), layout="constrained")
    views = ((2, anterior / right), (1, superior / right))
    for axes, (axis, aspect) in zip(figure.subplots(1, 2), views, strict=True):
        index = int(at[axis])
        picture, outline = (np.take(data, index, axis).T[:, ::-1] for data in (values, drawn))
        axes.imshow(picture, cmap="gray", origin="lower", vmin=low, vmax=high, aspect=aspect)
        for row in STRUCTURES.values():
            if (outline == row.value).any():
                colour = tuple(part / 255 for part in row.colour)
                axes.contour(outline == row.value, [0.5], colors=[colour], linewidths=1)
        axes.set_axis_off()
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def comparison_picture(
    image: Volume, reference: NDArray[np.bool_], prediction: NDArray[np.bool_], place: tuple[int, int, int]
) -> bytes:
    """Draw the outlines of two masks: an axial slice, whole and enlarged around a place, and a coronal one, enlarged.

    Args:
        image: On canonical axes (right, anterior, superior).
        reference: True inside the reference, on the image's grid; drawn solid yellow.
        prediction: The same of the prediction; drawn dashed cyan.
        place: Voxel indices (i, j, k) through which both slices go.

    Returns:
        A WebP picture, three times as wide as high; the same input gives the same bytes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * _PANEL_IN, _PANEL_IN), facecolor="black")
    panels = figure.subplots(1, 3, gridspec_kw={"left": 0, "right": 1, "top": 1, "bottom": 0, "wspace": 0.02})
    low, high = np.percentile(image.data.astype(np.float32), _WINDOW_PERCENT)
    for axes, normal, width in zip(panels, (_SUPERIOR, _SUPERIOR, _ANTERIOR), (1.0, 1.6, 1.6), strict=True):
        extent = _extent(image, normal)
        axes.imshow(_slice(image.data, normal, place), cmap="gray", origin="lower", vmin=low, vmax=high, extent=extent)
        outlined = {REFERENCE_STROKE: reference, PREDICTION_STROKE: prediction}
        _outline(axes, {stroke: _slice(mask, normal, place) for stroke, mask in outlined.items()}, extent, width)
        axes.set_axis_off()
    _enlarge(panels[0], panels[1], _in_plane_mm(image, _SUPERIOR, place))
    _enlarge(None, panels[2], _in_plane_mm(image, _ANTERIOR, place))
    for axes, mark in zip(panels, ("R", "axial", "coronal"), strict=True):
        axes.text(0.02, 0.03, mark, color="white", fontsize=9, transform=axes.transAxes, bbox=_PLATE)
    written = io.BytesIO()
    figure.savefig(written, format="webp", dpi=_DPI, pil_kwargs={"quality": _QUALITY, "method": 6})
    return written.getvalue()


def _slice(data: NDArray[np.generic], normal: int, place: tuple[int, int, int]) -> NDArray[np.generic]:
    drawn: NDArray[np.generic] = np.take(data, place[normal], normal).T[:, ::-1]
    return drawn


def _extent(image: Volume, normal: int) -> tuple[float, float, float, float]:
    """Edges of a slice in mm: left, right, bottom, top."""
    up = _ANTERIOR + _SUPERIOR - normal
    return 0.0, image.shape[0] * image.spacing_mm[0], 0.0, image.shape[up] * image.spacing_mm[up]


def _in_plane_mm(image: Volume, normal: int, place: tuple[int, int, int]) -> tuple[float, float]:
    up = _ANTERIOR + _SUPERIOR - normal
    return (image.shape[0] - place[0] - 0.5) * image.spacing_mm[0], (place[up] + 0.5) * image.spacing_mm[up]


def _enlarge(whole: Axes | None, part: Axes, middle_mm: tuple[float, float]) -> None:
    """Show a square around a place in one panel, and its frame in another."""
    from matplotlib.patches import Rectangle

    left, bottom = (value - _ZOOM_MM for value in middle_mm)
    part.set_xlim(left, left + 2 * _ZOOM_MM)
    part.set_ylim(bottom, bottom + 2 * _ZOOM_MM)
    if whole is not None:
        frame = Rectangle((left, bottom), 2 * _ZOOM_MM, 2 * _ZOOM_MM, fill=False, edgecolor="white", linewidth=0.7)
        whole.add_patch(frame)


def _outline(
    axes: Axes,
    masks: Mapping[Stroke, NDArray[np.generic]],
    extent: tuple[float, float, float, float],
    width: float,
) -> None:
    for stroke, mask in masks.items():
        if mask.any() and not mask.all():
            axes.contour(
                mask.astype(np.float32),
                [0.5],
                colors=[stroke.colour],
                linestyles=[stroke.dashes],
                linewidths=width,
                extent=extent,
                origin="lower",
            )
