"""The one place where predictions are compared with references."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from lib.domain.criteria import SURFACE_TOLERANCE_MM
from lib.domain.records import CaseScore, RegionScore
from lib.domain.structures import MASS, STRUCTURE_NAMES, STRUCTURES
from lib.imaging.lesions import voxel_ml
from lib.imaging.matching import dice_of_counts, match_masses
from lib.imaging.surfaces import surface_distances

METRICS_VERSION = "1"  # raise it when a definition changes: scores that were kept are then made again


def dice(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float | None:
    """Dice similarity coefficient of two masks on one grid.

    Returns:
        2|P∩R| / (|P|+|R|); 0.0 when only one is empty; None when both are (nothing to agree on).

    Raises:
        ValueError: When the shapes differ.
    """
    if prediction.shape != reference.shape:
        msg = f"masks must share a grid, got shapes {prediction.shape} and {reference.shape}"
        raise ValueError(msg)
    shared, *sizes = (int(np.count_nonzero(mask)) for mask in (prediction & reference, prediction, reference))
    return dice_of_counts(shared, *sizes) if any(sizes) else None


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Dice of two masks, where nothing in common is no overlap: 0 when both are empty.

    Raises:
        ValueError: When the shapes differ.
    """
    return dice(one, other) or 0.0


def score_region(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    to_mm: NDArray[np.float64],
    *,
    tolerance_mm: float = SURFACE_TOLERANCE_MM,
) -> RegionScore:
    """Measure overlap, surfaces and volumes of two masks on one grid.

    Args:
        prediction: Mask on axes (i, j, k).
        reference: Mask on the same grid.
        to_mm: Voxel steps to mm, 3 x 3: the affine without its translation.
        tolerance_mm: Of the surface Dice.

    Returns:
        The surface Dice is defined where the DSC is (0 when one mask is empty), HD95 where both masks hold a voxel.

    Raises:
        ValueError: When the shapes differ.
    """
    shared = dice(prediction, reference)
    box = foreground_box(prediction | reference)
    prediction, reference = prediction[box], reference[box]
    distances = surface_distances(prediction, reference, to_mm)
    near = distances.surface_dice(tolerance_mm)
    predicted_ml, reference_ml = (int(np.count_nonzero(mask)) * voxel_ml(to_mm) for mask in (prediction, reference))
    return RegionScore(
        dice=shared,
        surface_dice=near if near is not None or shared is None else 0.0,
        hd95_mm=distances.hd95_mm(),
        reference_ml=reference_ml,
        predicted_ml=predicted_ml,
        volume_error_ml=predicted_ml - reference_ml,
        volume_error_relative=(predicted_ml - reference_ml) / reference_ml if reference_ml else None,
    )


def foreground_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds every true voxel; an empty one when there is none."""
    edges = []
    for axis in range(mask.ndim):
        occupied = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        edges.append(slice(int(occupied[0]), int(occupied[-1]) + 1) if len(occupied) else slice(0, 0))
    return tuple(edges)


def detected(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> list[bool]:
    """Tell for each reference mass, largest first, whether the prediction touches it in any voxel."""
    return match_masses(prediction, reference).found("overlap")


def score_case(
    image_id: str,
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    drawn: Collection[str] = STRUCTURE_NAMES,
) -> CaseScore:
    """Score one prediction against its reference label, both on the image's grid.

    Args:
        image_id: Goes into the score.
        prediction: Values of the structure table.
        reference: Values of the structure table.
        drawn: Structures that the reference was drawn for; the others are not scored.
    """
    match = match_masses(prediction == MASS, reference == MASS)
    found = match.found("overlap")
    mass_drawn = any(row.value == MASS and row.name in drawn for row in STRUCTURES.values())
    return CaseScore(
        image_id=image_id,
        dice={
            row.name: dice(prediction == row.value, reference == row.value) if row.name in drawn else None
            for row in STRUCTURES.values()
        },
        found=any(found) if found else None,
        masses_found=tuple(found),
        false_positives=match.false_positives("overlap") if mass_drawn else 0,
    )
