"""The one place where predictions are compared with references."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from lib.domain.records import CaseScore
from lib.domain.structures import MASS, STRUCTURE_NAMES, STRUCTURES
from lib.imaging.lesions import components


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
    size = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    if size == 0:
        return None
    return 2.0 * int(np.count_nonzero(prediction & reference)) / size


def detected(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> list[bool]:
    """Tell for each reference mass whether the prediction touches it in any voxel."""
    labelled, count = components(reference)
    touched = np.unique(labelled[prediction])
    return [bool(number in touched) for number in range(1, count + 1)]


def false_positives(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> int:
    """Count predicted masses that touch no reference mass."""
    return detected(reference, prediction).count(False)


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
    found = detected(prediction == MASS, reference == MASS)
    mass_drawn = any(row.value == MASS and row.name in drawn for row in STRUCTURES.values())
    return CaseScore(
        image_id=image_id,
        dice={
            row.name: dice(prediction == row.value, reference == row.value) if row.name in drawn else None
            for row in STRUCTURES.values()
        },
        found=any(found) if found else None,
        false_positives=false_positives(prediction == MASS, reference == MASS) if mass_drawn else 0,
    )
