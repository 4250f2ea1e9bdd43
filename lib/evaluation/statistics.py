"""Summaries and intervals in which the patient is what is drawn again, since images and masses of one are alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from lib.domain.resampling import FEWEST_PATIENTS, times_drawn
from lib.evaluation.figures import BlandAltman, Estimate, Proportion, Summary

LIMITS_SD = 1.96  # limits of agreement hold 95 % of normal differences


class PatientBootstrap:
    """Percentile intervals from resampled patients; the same seed and patients give the same interval.

    Each resample is a row of how often each patient was drawn, so every figure is one weighted sum or median.
    """

    def __init__(self, draws: int, confidence: float, seed: int) -> None:
        self.confidence = confidence
        self._draws = draws
        self._seed = seed

    def median(self, values: Sequence[float], patients: Sequence[int]) -> Estimate:
        """Median of values, each with the number of its patient."""
        weights = self._weights_of(patients)
        value = float(np.median(values)) if len(values) else None
        return self._estimate(value, None if weights is None else _medians(np.asarray(values, float), weights))

    def mean(self, values: Sequence[float], patients: Sequence[int]) -> Estimate:
        """Mean of values, each with the number of its patient."""
        weights = self._weights_of(patients)
        value = float(np.mean(values)) if len(values) else None
        drawn = None if weights is None else weights @ np.asarray(values, float) / weights.sum(axis=1)
        return self._estimate(value, drawn)

    def _weights_of(self, patients: Sequence[int]) -> NDArray[np.int64] | None:
        """How often each value is drawn, (draws, values); None when there are too few patients."""
        distinct, index = np.unique(np.asarray(patients, int), return_inverse=True)
        if len(distinct) < FEWEST_PATIENTS:
            return None
        return times_drawn(len(distinct), self._draws, self._seed)[:, index]

    def _estimate(self, value: float | None, drawn: NDArray[np.float64] | None) -> Estimate:
        if drawn is None:
            return Estimate(value=value)
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(drawn, (tail, 1 - tail)).tolist()
        return Estimate(value=value, low=low, high=high)


def _medians(values: NDArray[np.float64], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Median of each resample: the mean of its two middle values, found among the sorted values by their counts."""
    order = np.argsort(values, kind="stable")
    counted = np.cumsum(weights[:, order], axis=1)
    total = counted[:, -1:]
    lower = (counted < (total + 1) // 2).sum(axis=1)
    upper = (counted < total // 2 + 1).sum(axis=1)
    ranked = values[order]
    middle: NDArray[np.float64] = (ranked[lower] + ranked[upper]) / 2
    return middle


def summarise(values: Sequence[float | None], patients: Sequence[int], bootstrap: PatientBootstrap) -> Summary:
    """Describe values, each with the number of its patient; None is counted as undefined and left out."""
    kept = [(value, patient) for value, patient in zip(values, patients, strict=True) if value is not None]
    undefined = len(values) - len(kept)
    if not kept:
        return Summary(n=0, undefined=undefined)
    numbers = np.array([value for value, _ in kept])
    middle = bootstrap.median(numbers.tolist(), [patient for _, patient in kept])
    q1, q3 = np.quantile(numbers, (0.25, 0.75)).tolist()
    return Summary(
        n=len(kept),
        undefined=undefined,
        mean=float(numbers.mean()),
        sd=float(numbers.std(ddof=1)) if len(kept) > 1 else None,
        median=middle.value,
        q1=q1,
        q3=q3,
        low=middle.low,
        high=middle.high,
    )


def proportion(hits: Sequence[bool], clusters: Sequence[int], confidence: float) -> Proportion:
    """Rate of hits with Wilson's interval, on as many independent observations as the clusters are worth.

    Rao and Scott's design effect: the variance of the rate over clusters by that of a simple sample, at least 1.

    Args:
        hits: One an observation.
        clusters: Number of the patient that each observation is of.
        confidence: Level of the interval.
    """
    total, count = len(hits), sum(map(bool, hits))
    if not total:
        return Proportion(count=0, total=0)
    rate = count / total
    effective = total / _design_effect(np.asarray(hits, float), np.asarray(clusters, int), rate)
    low, high = proportion_confint(rate * effective, effective, alpha=1 - confidence, method="wilson")
    return Proportion(count=count, total=total, rate=rate, low=float(low), high=float(high))


def _design_effect(hits: NDArray[np.float64], clusters: NDArray[np.int64], rate: float) -> float:
    _, index = np.unique(clusters, return_inverse=True)
    count = int(index.max()) + 1
    if count < FEWEST_PATIENTS or rate in (0.0, 1.0):
        return 1.0
    simple = rate * (1 - rate) / (len(hits) - 1)
    residuals = np.bincount(index, weights=hits - rate)
    clustered = count / (count - 1) * float((residuals**2).sum()) / len(hits) ** 2
    return max(1.0, clustered / simple)


def bland_altman(
    predicted: Sequence[float], reference: Sequence[float], patients: Sequence[int], bootstrap: PatientBootstrap
) -> BlandAltman:
    """Bias and limits of agreement of predicted against reference values."""
    differences = np.asarray(predicted, float) - np.asarray(reference, float)
    bias = bootstrap.mean(differences.tolist(), patients)
    if len(differences) < FEWEST_PATIENTS or bias.value is None:
        return BlandAltman(n=len(differences), bias=bias, sd=None, lower=None, upper=None)
    sd = float(differences.std(ddof=1))
    spread = LIMITS_SD * sd
    return BlandAltman(n=len(differences), bias=bias, sd=sd, lower=bias.value - spread, upper=bias.value + spread)
