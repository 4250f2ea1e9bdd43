"""Fits what ``lib.loop.trust`` applies, to proposals whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from lib.domain.evidence import MassEvidence, ProposalEvidence
from lib.loop.trust import Curve, TrustModel, expected_dice, numbers_of, numbers_of_mass

FLAG_RATE = 0.2
_RIDGE = 1.0  # how many cases speak for a number telling nothing
_PRIOR_CASES = 20.0  # how many cases of its own a retrained network needs until they count as much as the ones before

Judged = Sequence[tuple[ProposalEvidence, float]]
"""Proposals with the mass Dice that they turned out to have."""
JudgedMasses = Sequence[tuple[MassEvidence, float]]
"""Proposed masses with the share of each that turned out to be right."""
_Rows = Sequence[tuple[Mapping[str, float], float]]

_NO_MASS = ProposalEvidence(masses=0, mass_ml=0.0, overlap=0.0, confidence=0.0, surest=0.0, doubt_ml=0.0)


def fit_trust(judged: Judged, masses: JudgedMasses, flag_rate: float = FLAG_RATE) -> TrustModel:
    """Fit the curves, and the threshold under which a share of these proposals is flagged.

    Raises:
        ValueError: When there is no proposal.
    """
    if not judged:
        msg = "no proposals to fit to; expected at least one"
        raise ValueError(msg)
    some = MassEvidence(probability=0.5, volume_ml=1.0)
    model = TrustModel(
        with_mass=_fit(_proposals(judged, True), numbers_of(replace(_NO_MASS, masses=1))),
        without=_fit(_proposals(judged, False), numbers_of(_NO_MASS)),
        one_mass=_fit(_masses(masses), numbers_of_mass(some)),
        threshold=0.0,
    )
    expected = [expected_dice(evidence, model) for evidence, _ in judged]
    return replace(model, threshold=round(float(np.quantile(expected, flag_rate)), 4))


def adjusted(model: TrustModel, judged: Judged, masses: JudgedMasses) -> TrustModel:
    """Move the curves up or down to what a retrained network's own proposals turned out to be.

    The weights and the threshold stay; few cases move a curve little.
    """
    return replace(
        model,
        with_mass=_moved(model.with_mass, _proposals(judged, True)),
        without=_moved(model.without, _proposals(judged, False)),
        one_mass=_moved(model.one_mass, _masses(masses)),
    )


def _proposals(judged: Judged, with_mass: bool) -> _Rows:
    return [(numbers_of(evidence), dice) for evidence, dice in judged if bool(evidence.masses) == with_mass]


def _masses(masses: JudgedMasses) -> _Rows:
    return [(numbers_of_mass(evidence), right) for evidence, right in masses]


def _fit(rows: _Rows, names: Mapping[str, float]) -> Curve:
    """Logistic regression on the share itself, with a ridge on standardised numbers; flat without rows."""
    if not rows:
        return Curve(intercept=0.0, weights=dict.fromkeys(names, 0.0), means=dict.fromkeys(names, 0.0))
    values = np.array([[numbers[name] for name in names] for numbers, _ in rows])
    right = np.array([share for _, share in rows])
    means, spreads = values.mean(0), np.maximum(values.std(0), 1e-6)
    standard = (values - means) / spreads

    def cost(parameters: NDArray[np.float64]) -> float:
        pull = _RIDGE * float(parameters @ parameters) / 2
        return _surprise(parameters[0] + standard @ parameters[1:], right) + pull

    found = minimize(cost, np.zeros(len(names) + 1)).x
    return Curve(
        intercept=round(float(found[0]), 4),
        weights={name: round(float(weight), 4) for name, weight in zip(names, found[1:] / spreads, strict=True)},
        means={name: round(float(mean), 4) for name, mean in zip(names, means, strict=True)},
    )


def _moved(curve: Curve, rows: _Rows) -> Curve:
    if not rows:
        return curve
    odds = np.array([curve.log_odds(numbers) for numbers, _ in rows])
    right = np.array([share for _, share in rows])
    pull = _PRIOR_CASES / 4  # a case says p (1 - p), at most 1/4, of where the curve lies
    shift = minimize(lambda by: _surprise(odds + by[0], right) + pull * float(by[0]) ** 2 / 2, [0.0]).x[0]
    return replace(curve, intercept=round(curve.intercept + float(shift), 4))


def _surprise(odds: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    return float((np.logaddexp(0, odds) - right * odds).sum())
