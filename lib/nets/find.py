"""Find the kidneys: one small network for every sequence looks at the whole field of view, coarsely.

What it finds tells the sequences' networks where to look; they then see a few windows instead of the whole body, and
cannot take liver or bowel for a mass.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lib.imaging.geometry import resampled_shape
from lib.imaging.lesions import components
from lib.nets.grids import Box, Spacing, box_onto, grid_weights, mask_box, resample
from lib.nets.networks import ALL_SEQUENCES, LoadedWeights, Plan, load_weights
from lib.nets.runtime import load_runner
from lib.nets.windows import class_probabilities

FINDER_PLAN = Plan(
    code=ALL_SEQUENCES,
    spacing_mm=(4.5, 4.5, 6.0),
    patch=(80, 56, 40),
    window=(96, 72, 56),
    stem=(1, 1, 1),
    channels=(8, 16, 32, 64),
)
_LIKELY = 0.15  # probability of kidney, mass or cyst together: better a box too many than a kidney missed
_SMALLEST_MM3 = 2000.0  # a sphere of 16 mm: an atrophic kidney is larger
_MARGIN_MM = 20.0  # an exophytic mass may stick out of what was found


class Finder:
    """A trained finder; calling it changes nothing, so several threads may."""

    def __init__(self, weights: LoadedWeights, device: str = "auto") -> None:
        """Build the network on its device.

        Raises:
            BadWeightsError: When the state does not fit its plan.
        """
        self._plan = weights.plan
        self._network = load_runner(weights, device)

    def __call__(self, image: Tensor, spacing_mm: Spacing) -> list[Box]:
        """Return a box around each kidney, with whatever grows on it, largest kidney first.

        Args:
            image: Normalised intensities (X, Y, Z), as ``grids.to_working`` gives them.
            spacing_mm: Its voxel edge lengths.

        Returns:
            Boxes in voxels of the image, grown by 20 mm; empty when no kidney is found.
        """
        i, j, k = image.shape
        coarse_mm = self._plan.spacing_mm
        shape = resampled_shape((i, j, k), spacing_mm, coarse_mm)
        x, y, z = grid_weights((i, j, k), spacing_mm, shape, coarse_mm)
        coarse = resample(image, (x, y, z))
        probabilities = class_probabilities(coarse, self._network, self._plan, mirrored=False)
        organs = (probabilities[0] < 1 - _LIKELY).numpy()
        found = organ_boxes(organs, coarse_mm)
        return [box_onto(box, shape, coarse_mm, (i, j, k), spacing_mm) for box in found]


def organ_boxes(organs: NDArray[np.bool_], spacing_mm: Spacing) -> list[Box]:
    """Box of every component that is large enough to be a kidney, grown by a margin, largest component first."""
    numbered, count = components(organs)
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    i, j, k = (math.ceil(_MARGIN_MM / edge) for edge in spacing_mm)
    boxes = []
    for index in np.argsort(-sizes, kind="stable"):
        if sizes[index] * math.prod(spacing_mm) < _SMALLEST_MM3:
            break
        box = mask_box(torch.from_numpy(numbered == index + 1), (i, j, k))
        if box is not None:
            boxes.append(box)
    return boxes


def load_finder(path: Path | None, device: str = "auto") -> Finder | None:
    """Load the finder of an installation; None when it has none.

    Raises:
        BadWeightsError: When the file cannot be used.
    """
    return Finder(load_weights(path), device) if path else None
