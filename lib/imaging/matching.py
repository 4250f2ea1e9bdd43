"""Which predicted mass finds which reference mass, by three criteria side by side."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lib.domain.criteria import IOU_THRESHOLD, Criterion
from lib.imaging.lesions import components_by_size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MassMatch:
    """Masses of a prediction (P) and a reference (R), each largest first.

    Attributes:
        reference_numbered: The reference mask with its masses numbered from 1.
        predicted_voxels: Size of each predicted mass.
        reference_voxels: Size of each reference mass.
        centres_ijk: Centre of each predicted mass, in voxels.
        finds: By criterion, whether a predicted mass finds a reference mass, (P, R).
        dice: Of each reference mass with the predicted masses assigned to it, each to the one it overlaps most.
    """

    reference_numbered: NDArray[np.int32]
    predicted_voxels: tuple[int, ...]
    reference_voxels: tuple[int, ...]
    centres_ijk: tuple[tuple[float, ...], ...]
    finds: Mapping[Criterion, NDArray[np.bool_]]
    dice: tuple[float, ...]

    def found(self, criterion: Criterion) -> list[bool]:
        """Whether each reference mass is found."""
        return [bool(one) for one in np.any(self.finds[criterion], axis=0)]

    def false_positives(self, criterion: Criterion) -> int:
        """Number of predicted masses that find nothing."""
        return int((~self.finds[criterion].any(axis=1)).sum())


def dice_of_counts(shared: int, predicted: int, reference: int) -> float:
    """Dice similarity coefficient of two masks, at least one of which holds a voxel, from their voxels."""
    return 2.0 * shared / (predicted + reference)


def match_masses(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], *, iou_threshold: float = IOU_THRESHOLD
) -> MassMatch:
    """Match the connected masses of two masks on one grid.

    Args:
        prediction: True in predicted masses, on axes (i, j, k).
        reference: True in reference masses.
        iou_threshold: Least intersection over union of the criterion ``iou``.

    Raises:
        ValueError: When the shapes differ.
    """
    if prediction.shape != reference.shape:
        msg = f"masks must share a grid, got shapes {prediction.shape} and {reference.shape}"
        raise ValueError(msg)
    (predicted, ours), (referred, theirs) = components_by_size(prediction), components_by_size(reference)
    sizes, true_sizes = np.bincount(predicted.ravel())[1:], np.bincount(referred.ravel())[1:]
    both = predicted.astype(np.int64) * (theirs + 1) + referred
    shared = np.bincount(both.ravel(), minlength=(ours + 1) * (theirs + 1)).reshape(ours + 1, theirs + 1)[1:, 1:]
    union = sizes[:, None] + true_sizes[None] - shared
    centres = [tuple(one) for one in ndimage.center_of_mass(predicted > 0, predicted, range(1, ours + 1))]
    centre = np.zeros(shared.shape, bool)
    for row, place in enumerate(centres):
        centre[row, _masses_at(place, referred)] = True
    return MassMatch(
        reference_numbered=referred,
        predicted_voxels=tuple(sizes.tolist()),
        reference_voxels=tuple(true_sizes.tolist()),
        centres_ijk=tuple(centres),
        finds={"overlap": shared > 0, "iou": shared / union >= iou_threshold, "centre": centre},
        dice=tuple(_dice_per_mass(shared, sizes, true_sizes)),
    )


def _masses_at(place: tuple[float, ...], reference: NDArray[np.int32]) -> list[int]:
    """Indices of the reference masses in which a place lies.

    A place on the border of two voxels lies in both, so that a mirror image gives the same answer.
    """
    sides = [{int(np.ceil(one - 0.5)), int(np.floor(one + 0.5))} for one in place]
    numbers = {int(reference[voxel]) for voxel in itertools.product(*sides)}
    return [number - 1 for number in sorted(numbers) if number]


def _dice_per_mass(shared: NDArray[np.int64], sizes: NDArray[np.int64], true_sizes: NDArray[np.int64]) -> list[float]:
    touching = shared.any(axis=1)
    assigned = shared.argmax(axis=1) if shared.size else np.zeros(len(sizes), int)
    scores = []
    for index, size in enumerate(true_sizes):
        mine = touching & (assigned == index)
        scores.append(dice_of_counts(int(shared[mine, index].sum()), int(sizes[mine].sum()), int(size)))
    return scores
