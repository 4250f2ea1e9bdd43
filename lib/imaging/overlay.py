"""Pictures of a label on its image, for people to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lib.domain.structures import STRUCTURES
from lib.imaging.geometry import to_canonical
from lib.imaging.volume import Volume

_WINDOW_PERCENT = (1, 99.5)


def save_overlay(image: Volume, label: Volume, path: Path, title: str = "") -> None:
    """Save an axial and a coronal slice through the middle of what is labelled, with outlines.

    The right of the patient is on the left of the picture, as radiologists read it.

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
