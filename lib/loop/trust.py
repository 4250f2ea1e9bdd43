"""Whether a proposal deserves trust: the mass Dice that is expected of it, and a flag with its reason in words.

Two logistic curves, one for proposals with a mass and one for those without (where the Dice is 1 if there is none, else
0), over a few numbers that are known without the truth. They are data, kept in a weight file's notes;
``python -m benchmarks.trust`` fits them and measures what they find (docs/trust.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from lib.domain.errors import BadWeightsError
from lib.domain.evidence import ProposalEvidence

TRUST = "trust"  # note of a weight file
FLAG_RATE = 0.2
_RIDGE = 1.0  # cases that speak for a number telling nothing
_PRIOR_CASES = 20.0  # how many cases of its own a retrained network needs until they count as much as the ones before
_EDGE = 0.01
_LEAST_ML = 0.05
_BOTH = 2

_WORDS = {  # number -> what it means when it speaks against a proposal
    "overlap": "much beside the proposed masses may be mass too (overlap by the probabilities {overlap:.2f})",
    "confidence": "the network is unsure of what it proposes (mean probability {confidence:.2f})",
    "volume": "masses of this size are seldom right ({mass_ml:.1f} ml)",
    "surest": "no mass is proposed, though one is thought possible (probability up to {surest:.2f})",
    "doubt": "no mass is proposed, and the network is unsure of much (doubt over {doubt_ml:.1f} ml)",
}
_SOME = ProposalEvidence(masses=1, mass_ml=1.0, overlap=0.5, confidence=0.5, surest=0.5, doubt_ml=1.0)

Judged = Sequence[tuple[ProposalEvidence, float]]
"""Proposals with the mass Dice that they turned out to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Log-odds of the Dice: the intercept, and for each number its weight times its distance from its mean.

    Attributes:
        intercept: Log-odds of a proposal with average numbers.
        weights: By name, as ``features`` names them.
        means: The same names.
    """

    intercept: float
    weights: Mapping[str, float]
    means: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustModel:
    """How proposals are judged.

    Attributes:
        with_mass: For proposals with a mass.
        without: For those without.
        threshold: Below this expected Dice a proposal is flagged.
    """

    with_mass: Curve
    without: Curve
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The verdict on a proposal, with the sentence that a reader sees.

    Attributes:
        expected_dice: Of its masses, 0 to 1; None when the network was never assessed.
        reason: Empty unless ``distrust``.
    """

    expected_dice: float | None
    distrust: bool
    reason: str


def features(evidence: ProposalEvidence) -> dict[str, float]:
    """The numbers that the curves weigh."""
    if evidence.masses:
        return {
            "overlap": _log_odds(evidence.overlap),
            "confidence": _log_odds(evidence.confidence),
            "volume": math.log(evidence.mass_ml + _LEAST_ML),
        }
    return {"surest": _log_odds(evidence.surest), "doubt": math.log(evidence.doubt_ml + _LEAST_ML)}


def expected_dice(evidence: ProposalEvidence, model: TrustModel) -> float:
    """Expected Dice of the masses, in 0 to 1."""
    curve = model.with_mass if evidence.masses else model.without
    return float(expit(curve.intercept + sum(_parts(evidence, curve).values())))


def judge(evidence: ProposalEvidence, model: TrustModel | None) -> Trust:
    """Decide whether a reader should distrust a proposal, and say why."""
    if model is None:
        return Trust(expected_dice=None, distrust=False, reason="")
    expected = expected_dice(evidence, model)
    distrust = expected < model.threshold
    reason = _reason(evidence, model, expected) if distrust else ""
    return Trust(expected_dice=round(expected, 3), distrust=distrust, reason=reason)


def fit_trust(judged: Judged, flag_rate: float = FLAG_RATE) -> TrustModel:
    """Fit the curves, and the threshold under which a share of these proposals is flagged.

    Raises:
        ValueError: When there is no proposal.
    """
    if not judged:
        msg = "no proposals to fit to; expected at least one"
        raise ValueError(msg)
    curves = [_fit([row for row in judged if bool(row[0].masses) == masses]) for masses in (True, False)]
    model = TrustModel(with_mass=curves[0], without=curves[1], threshold=0.0)
    expected = [expected_dice(evidence, model) for evidence, _ in judged]
    return replace(model, threshold=round(float(np.quantile(expected, flag_rate)), 4))


def adjusted(model: TrustModel, judged: Judged) -> TrustModel:
    """Move both curves up or down to what a retrained network's own proposals turned out to be.

    The weights and the threshold stay; few cases move a curve little.
    """

    def moved(curve: Curve, rows: Judged) -> Curve:
        if not rows:
            return curve
        odds = np.array([curve.intercept + sum(_parts(evidence, curve).values()) for evidence, _ in rows])
        dice = np.array([score for _, score in rows])
        shift = minimize(lambda by: _surprise(odds + by[0], dice) + _PRIOR_CASES / 8 * by[0] ** 2, [0.0]).x[0]
        return replace(curve, intercept=round(curve.intercept + float(shift), 4))

    return replace(
        model,
        with_mass=moved(model.with_mass, [row for row in judged if row[0].masses]),
        without=moved(model.without, [row for row in judged if not row[0].masses]),
    )


def trust_note(model: TrustModel) -> str:
    """Write a model for a weight file's notes."""
    return json.dumps(asdict(model))


def trust_of(notes: Mapping[str, str]) -> TrustModel | None:
    """Read the model of a weight file; None when it was never assessed.

    Raises:
        BadWeightsError: When the note is not a model.
    """
    if TRUST not in notes:
        return None
    try:
        found = json.loads(notes[TRUST])
        with_mass, without = (Curve(**found[name]) for name in ("with_mass", "without"))
        model = TrustModel(with_mass=with_mass, without=without, threshold=float(found["threshold"]))
        for masses in (0, 1):
            expected_dice(replace(_SOME, masses=masses), model)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        msg = "the weight file's note on trust is not two curves and a threshold"
        raise BadWeightsError(msg) from error
    return model


def _parts(evidence: ProposalEvidence, curve: Curve) -> dict[str, float]:
    """What each number adds to the log-odds of an average proposal."""
    return {name: curve.weights[name] * (value - curve.means[name]) for name, value in features(evidence).items()}


def _fit(rows: Judged) -> Curve:
    """Logistic regression on the Dice itself, with a ridge on standardised numbers."""
    names = list(features(rows[0][0])) if rows else []
    if not rows:
        return Curve(intercept=0.0, weights={"surest": 0.0, "doubt": 0.0}, means={"surest": 0.0, "doubt": 0.0})
    values = np.array([list(features(evidence).values()) for evidence, _ in rows])
    dice = np.array([score for _, score in rows])
    means, spreads = values.mean(0), np.maximum(values.std(0), 1e-6)
    standard = (values - means) / spreads

    def cost(parameters: NDArray[np.float64]) -> float:
        pull = _RIDGE * float(parameters @ parameters) / 2
        return _surprise(parameters[0] + standard @ parameters[1:], dice) + pull

    found = minimize(cost, np.zeros(len(names) + 1)).x
    return Curve(
        intercept=round(float(found[0]), 4),
        weights={name: round(float(weight), 4) for name, weight in zip(names, found[1:] / spreads, strict=True)},
        means={name: round(float(mean), 4) for name, mean in zip(names, means, strict=True)},
    )


def _surprise(odds: NDArray[np.float64], dice: NDArray[np.float64]) -> float:
    return float((np.logaddexp(0, odds) - dice * odds).sum())


def _reason(evidence: ProposalEvidence, model: TrustModel, expected: float) -> str:
    """One sentence: what is expected, and what speaks most against it."""
    parts = _parts(evidence, model.with_mass if evidence.masses else model.without)
    why = _WORDS[min(parts, key=parts.__getitem__)].format(**asdict(evidence))
    sentence = f"expected mass Dice {expected:.2f}, below {model.threshold:.2f}: {why}"
    if evidence.kidneys is not None and evidence.kidneys < _BOTH:
        sentence += f"; {evidence.kidneys} of two kidneys found"
    return sentence


def _log_odds(probability: float) -> float:
    inside = min(max(probability, _EDGE), 1 - _EDGE)
    return math.log(inside / (1 - inside))
