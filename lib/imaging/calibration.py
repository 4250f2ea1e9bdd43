"""How often a stated probability comes true, and how to restate it so that it does.

Only voxels that are in play count: those that are thought to be the structure with at least 1 %. All the rest is
background that every network is sure of, and would make any calibration look good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

IN_PLAY = 0.01
_EDGE = 1e-4  # probabilities are kept this far from 0 and 1, where the log-odds have no end
_PULL = 0.3  # how much speaks for leaving the probability as it is, in images
_STEEPEST = np.log(10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Restates a probability: its log-odds times ``slope`` plus ``shift`` (Platt scaling)."""

    slope: float = 1.0
    shift: float = 0.0

    def __call__(self, probability: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the restated probabilities; more probable stays more probable."""
        restated: NDArray[np.float64] = expit(self.slope * _log_odds(probability) + self.shift)
        return restated


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reliability:
    """Stated probability against what came true, in equal steps of probability from 0 to 1.

    Attributes:
        stated: Mean probability of each step; NaN where it is empty.
        true: Share of its voxels that are the structure; NaN where it is empty.
        voxels: How many.
    """

    stated: NDArray[np.float64]
    true: NDArray[np.float64]
    voxels: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of both, each step weighted by its voxels."""
        return float(np.nansum(np.abs(self.stated - self.true) * self.voxels) / max(1, self.voxels.sum()))


def fit_scaling(probability: NDArray[np.floating], truth: NDArray[np.bool_], images: int) -> Scaling:
    """Find the scaling under which the truth is most likely.

    Args:
        probability: Of the voxels in play, pooled over images (n).
        truth: Whether each is the structure (n).
        images: How many they come from: the fewer, the less the probability is changed.
    """
    if not truth.any():
        return Scaling()
    odds = _log_odds(probability)

    def surprise(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        steepness, shift = parameters
        slope = np.exp(steepness)
        logits = slope * odds + shift
        residual = (expit(logits) - truth) * images / len(odds)
        missed = float((np.logaddexp(0, logits) - truth * logits).mean())
        cost = images * missed + _PULL * float(parameters @ parameters)
        gradient = np.array([slope * (residual @ odds), residual.sum()]) + 2 * _PULL * parameters
        return cost, gradient

    bounds = [(-_STEEPEST, _STEEPEST), (None, None)]
    found = minimize(surprise, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds).x
    return Scaling(slope=round(float(np.exp(found[0])), 4), shift=round(float(found[1]), 4))


def reliability(probability: NDArray[np.floating], truth: NDArray[np.bool_], steps: int = 10) -> Reliability:
    """Tabulate stated probabilities against what came true.

    Args:
        probability: Of each voxel (n).
        truth: Whether it is the structure, or what share of it is (n).
        steps: Equal steps of probability.
    """
    step = np.minimum((np.asarray(probability, float) * steps).astype(int), steps - 1)
    voxels = np.bincount(step, minlength=steps)
    with np.errstate(invalid="ignore"):
        stated = np.bincount(step, probability, minlength=steps) / voxels
        true = np.bincount(step, truth, minlength=steps) / voxels
    return Reliability(stated=stated, true=true, voxels=voxels)


def _log_odds(probability: NDArray[np.floating]) -> NDArray[np.float64]:
    odds: NDArray[np.float64] = logit(np.clip(np.asarray(probability, np.float64), _EDGE, 1 - _EDGE))
    return odds
