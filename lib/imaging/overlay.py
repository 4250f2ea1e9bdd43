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
_PANEL_IN = 2.6
_DPI = 130
_QUALITY = 82


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
    """Draw one axial slice with the outlines of two masks, whole and enlarged around a place.

    Args:
        image: On canonical axes (right, anterior, superior).
        reference: True inside the reference, on the image's grid; drawn solid yellow.
        prediction: The same of the prediction; drawn dashed cyan.
        place: Voxel indices (i, j, k); the slice is k.

    Returns:
        A WebP picture, twice as wide as high; the same input gives the same bytes.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    i, j, k = place
    right, anterior, _ = image.spacing_mm
    across, up = (image.shape[0] - i - 0.5) * right, (j + 0.5) * anterior
    low, high = np.percentile(image.data.astype(np.float32), _WINDOW_PERCENT)
    figure = Figure(figsize=(2 * _PANEL_IN, _PANEL_IN), facecolor="black")
    masks = {REFERENCE_STROKE: reference.data, PREDICTION_STROKE: prediction.data}
    panels = figure.subplots(1, 2, gridspec_kw={"left": 0, "right": 1, "top": 1, "bottom": 0, "wspace": 0.02})
    for axes, width in zip(panels, (1.0, 1.6), strict=True):
        extent = (0.0, image.shape[0] * right, 0.0, image.shape[1] * anterior)
        axes.imshow(_slice(image.data, k), cmap="gray", origin="lower", vmin=low, vmax=high, extent=extent)
        _outline(axes, {stroke: _slice(mask, k) for stroke, mask in masks.items()}, extent, width)
        axes.set_axis_off()
    square = (across - _ZOOM_MM, up - _ZOOM_MM)
    panels[0].add_patch(Rectangle(square, 2 * _ZOOM_MM, 2 * _ZOOM_MM, fill=False, edgecolor="white", linewidth=0.7))
    panels[1].set_xlim(square[0], square[0] + 2 * _ZOOM_MM)
    panels[1].set_ylim(square[1], square[1] + 2 * _ZOOM_MM)
    panels[0].text(0.01, 0.5, "R", color="white", fontsize=8, transform=panels[0].transAxes, va="center")
    written = io.BytesIO()
    figure.savefig(written, format="webp", dpi=_DPI, pil_kwargs={"quality": _QUALITY, "method": 6})
    return written.getvalue()


def _slice(data: NDArray[np.generic], k: int) -> NDArray[np.generic]:
    return data[:, :, k].T[:, ::-1]


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
