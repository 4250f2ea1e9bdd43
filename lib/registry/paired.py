"""Two models on the same patients: per-patient values, and bootstrap bounds of their mean difference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

from lib.domain.records import CaseScore
from lib.domain.resampling import FEWEST_PATIENTS, times_drawn

_ZERO = 1e-12  # sums of equal differences differ by rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientPair:
    """One patient's value under both models, averaged over the patient's images.

    Attributes:
        vendor: Of the patient's first image.
        scanner: Of the same; empty when unknown.
        size_mm: Largest diameter of the patient's largest mass; None without a mass.
    """

    vendor: str
    size_mm: float | None
    champion: float
    challenger: float
    scanner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One-sided bounds of a mean, each at the same confidence."""

    lower: float
    upper: float


ScorePair = tuple[CaseScore, CaseScore]


def paired_scores(champion: Sequence[CaseScore], challenger: Sequence[CaseScore]) -> list[ScorePair]:
    """Put the two scores of each image side by side.

    Raises:
        ValueError: When the two were not scored on the same images in the same order.
    """
    if [score.image_id for score in champion] != [score.image_id for score in challenger]:
        msg = f"champion has {len(champion)} scores, challenger {len(challenger)}; expected the same images"
        raise ValueError(msg)
    return list(zip(champion, challenger, strict=True))


def patient_pairs(scores: Iterable[ScorePair], structure: str) -> list[PatientPair]:
    """Average a structure's Dice over each patient's images, in the order in which patients first appear.

    An image counts when its reference holds a mass (for the mass), or when both models have a value (for the rest).
    """
    by_patient: dict[str, list[ScorePair]] = {}
    for old, new in scores:
        if old.dice.get(structure) is not None and new.dice.get(structure) is not None and _counts(old, structure):
            by_patient.setdefault(old.patient_id or old.image_id, []).append((old, new))
    return [
        PatientPair(
            vendor=images[0][0].vendor,
            scanner=images[0][0].scanner,
            size_mm=max((size for old, _ in images if (size := old.size_mm) is not None), default=None),
            champion=sum(old.dice[structure] or 0.0 for old, _ in images) / len(images),
            challenger=sum(new.dice[structure] or 0.0 for _, new in images) / len(images),
        )
        for images in by_patient.values()
    ]


def _counts(score: CaseScore, structure: str) -> bool:
    return structure != "mass" or score.found is not None


def mean_bounds(differences: Sequence[float], *, confidence: float, resamples: int, seed: int) -> Interval:
    """Bound the mean of one difference per patient, by resampling patients.

    The percentiles are moved outwards for few patients, as much as Student's t is wider than the normal distribution
    ("expanded percentile", Hesterberg, The American Statistician 69, 2015): the plain percentile interval is too
    narrow by that much.

    Args:
        differences: One value per patient.
        confidence: Of each bound, e.g. 0.95.
        resamples: How many times patients are drawn again.
        seed: Same patients, same bounds.

    Returns:
        Infinite bounds for fewer than two patients: nothing is known about the spread.
    """
    count = len(differences)
    if count < FEWEST_PATIENTS:
        return Interval(lower=-math.inf, upper=math.inf)
    means = times_drawn(count, resamples, seed) @ np.asarray(differences, dtype=float) / count
    tail = float(ndtr(-math.sqrt(count / (count - 1)) * stdtrit(count - 1, confidence)))
    lower, upper = np.quantile(means, (tail, 1 - tail))
    return Interval(lower=_without_rounding(lower), upper=_without_rounding(upper))


def _without_rounding(value: float) -> float:
    return 0.0 if abs(value) < _ZERO else float(value)
