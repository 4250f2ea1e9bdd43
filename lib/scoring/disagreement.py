"""How much the proposals on one patient's sequences contradict each other.

The images are brought onto one grid by the scanner's coordinates. Kidneys move between breath-holds, so that only
what lies further away than a breath moves it counts as a contradiction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lib.domain.structures import BACKGROUND, MASS
from lib.imaging.geometry import resample_onto
from lib.imaging.registration import voxel_centres_ras
from lib.imaging.volume import Grid, Volume

Mask = NDArray[np.bool_]

BREATH_MM = 10.0  # what lies as near to the same structure on another sequence does not contradict it
_GRID_MM = 4.0
_UNSEEN = 255


def disagreement(labels: Mapping[str, Volume]) -> dict[str, dict[str, float]]:
    """Compare every proposal with those on the patient's other sequences.

    Args:
        labels: One per image, by image id; any grids in the same scanner coordinates.

    Returns:
        By image id, for ``mass`` and for ``kidney`` (with all that grows on it): the share, 0 to 1, of both proposals'
        voxels that have no counterpart on the other within a breath, averaged over the other sequences; only where
        both images see. Empty for an image without a partner.
    """
    grid = _common_grid(list(labels.values()))
    if grid is None or len(labels) < 2:
        return {image: {} for image in labels}
    sampled = {image: resample_onto(label, grid, outside=_UNSEEN) for image, label in labels.items()}
    apart: dict[str, list[dict[str, float]]] = {image: [] for image in labels}
    for one, other in itertools.combinations(labels, 2):
        both = (sampled[one] != _UNSEEN) & (sampled[other] != _UNSEEN)
        masks = {
            "mass": [(sampled[image] == MASS) & both for image in (one, other)],
            "kidney": [(sampled[image] != BACKGROUND) & both for image in (one, other)],
        }
        found = {name: _contradicted(*pair) for name, pair in masks.items()}
        apart[one].append(found)
        apart[other].append(found)
    return {image: {name: fmean(pair[name] for pair in pairs) for name in pairs[0]} for image, pairs in apart.items()}


def _common_grid(labels: Sequence[Volume]) -> Grid | None:
    """A grid along the scanner's axes around everything that is labelled; None when nothing is."""
    drawn = [voxel_centres_ras(label.data != BACKGROUND, label.affine) for label in labels]
    points = np.concatenate(drawn) if drawn else np.empty((0, 3))
    if not len(points):
        return None
    low, high = points.min(0) - BREATH_MM, points.max(0) + BREATH_MM
    affine = np.diag([_GRID_MM] * 3 + [1.0])
    affine[:3, 3] = low
    i, j, k = (math.ceil(length / _GRID_MM) + 1 for length in high - low)
    return Grid(shape=(i, j, k), affine=affine)


def _contradicted(one: Mask, other: Mask) -> float:
    voxels = np.count_nonzero(one) + np.count_nonzero(other)
    if not voxels:
        return 0.0
    lonely = [np.count_nonzero(mine & _far_from(theirs)) for mine, theirs in ((one, other), (other, one))]
    return sum(lonely) / voxels


def _far_from(mask: Mask) -> Mask:
    if not mask.any():
        return np.ones_like(mask)
    far: Mask = ndimage.distance_transform_edt(~mask, sampling=_GRID_MM) > BREATH_MM
    return far
