"""Which patients of a new scanner to label first: those the network is unsure about, and those unlike each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.loop.splits import DEFAULT_SALT, side_of

JUDGES_EVERY = 3  # each third chosen patient is from the holdout side, where there is one: without judges, no verdict
_SMALLEST = 1e-6
_FAR_APART = 0.8  # of the largest distance from the chosen ones
_BOTH = 2
_COVERAGE = 0.5  # weight of being unlike the chosen ones against that of being uncertain


@dataclass(frozen=True, slots=True, kw_only=True)
class Zero:
    """What is known of an image of the new scanner before anybody labelled it.

    Attributes:
        drift: Its score; None where the sequence has nothing to compare with.
        expected_dice: Of the masses; None when the app cannot say.
        distrust: Whether the app itself says not to trust the proposal.
        kidneys: How many were found.
        features: Of the finder; empty when there are none.
    """

    image_id: str
    patient_id: str
    sequence: str
    drift: float | None
    expected_dice: float | None
    distrust: bool
    kidneys: int
    features: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A patient to label, and the sentence that says why.

    Attributes:
        judges: Whether the patient is on the holdout side: the label judges the new model, and never teaches one.
    """

    patient_id: str
    images: tuple[str, ...]
    judges: bool
    reason: str


def choose_patients(images: Sequence[Zero], count: int, salt: str = DEFAULT_SALT) -> list[Choice]:
    """Choose greedily; the same images always give the same choice.

    Args:
        images: Of the new scanner.
        count: How many patients; all of them when there are fewer.
        salt: Of the patient split.
    """
    by_patient: dict[str, list[Zero]] = {}
    for image in sorted(images, key=lambda one: one.image_id):
        by_patient.setdefault(image.patient_id, []).append(image)
    need = {patient: _need(own) for patient, own in by_patient.items()}
    place = _places(images)
    holdout = {patient for patient in by_patient if side_of(patient, salt) == "holdout"}
    chosen: list[Choice] = []
    left = sorted(by_patient)
    while left and len(chosen) < count:
        judge = (len(chosen) + 1) % JUDGES_EVERY == 0
        wanted = [patient for patient in left if (patient in holdout) == judge] or left
        apart = _apart(wanted, [one.patient_id for one in chosen], place)
        best = max(wanted, key=lambda patient: (need[patient][0] + _COVERAGE * apart[patient], patient))
        left.remove(best)
        reason = _reason(need[best][1], apart[best] if chosen else 0.0)
        ids = tuple(image.image_id for image in by_patient[best])
        chosen.append(Choice(patient_id=best, images=ids, judges=best in holdout, reason=reason))
    return chosen


def _need(images: Sequence[Zero]) -> tuple[float, str]:
    """How much a patient's images would teach, 0 to 1, and why; the neediest image speaks for the patient."""
    return max(_image_need(image) for image in images)


def _image_need(image: Zero) -> tuple[float, str]:
    if image.kidneys < _BOTH:
        return 1.0, f"{image.kidneys} of 2 kidneys found on {image.sequence}"
    if image.distrust:
        return 0.95, f"the proposal on {image.sequence} is not to be trusted"
    if image.expected_dice is not None:
        return 0.9 * (1 - image.expected_dice), f"expected DSC {image.expected_dice:.2f} on {image.sequence}"
    if image.drift is not None:
        return 0.45 * min(2.0, image.drift), f"drift score {image.drift:.2f} on {image.sequence}"
    return 0.0, ""


def _places(images: Sequence[Zero]) -> dict[str, NDArray[np.float64]]:
    """Where each patient lies: the mean of the images' features, scaled within their sequence; alike without any."""
    rows: dict[str, list[NDArray[np.float64]]] = {}
    for code in {image.sequence for image in images}:
        own = [image for image in images if image.sequence == code and image.features]
        if own:
            features = np.array([image.features for image in own])
            scaled = (features - features.mean(0)) / np.maximum(features.std(0), _SMALLEST)
            for image, row in zip(own, scaled, strict=True):
                rows.setdefault(image.patient_id, []).append(row)
    places = {patient: np.array(found).mean(0) for patient, found in rows.items()}
    width = max((len(place) for place in places.values()), default=1)
    return {image.patient_id: places.get(image.patient_id, np.zeros(width)) for image in images}


def _apart(
    patients: Sequence[str], chosen: Sequence[str], place: Mapping[str, NDArray[np.float64]]
) -> dict[str, float]:
    """Distance of each patient from the nearest chosen one, as a share of the largest; 0 for all before the first."""
    if not chosen:
        return dict.fromkeys(patients, 0.0)
    far = {patient: min(float(np.linalg.norm(place[patient] - place[one])) for one in chosen) for patient in patients}
    most = max(far.values())
    return {patient: distance / most if most else 0.0 for patient, distance in far.items()}


def _reason(need: str, apart: float) -> str:
    unlike = "unlike those above" if apart >= _FAR_APART else ""
    return "; ".join(filter(None, (need, unlike))) or "one of the first by name: nothing tells the patients apart"
