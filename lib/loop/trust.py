"""Whether a proposal deserves trust: the mass Dice that is expected of it, and a flag with its reason in words.

Three logistic curves over a few numbers that are known without the truth: the Dice of a proposal with masses; of one
without (1 if there is none, else 0); and of a single mass, which share of it is right. They are data, kept in a weight
file's notes; ``lib.loop.trust_fit`` fits them, ``python -m benchmarks.trust`` measures what they find (docs/trust.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from lib.domain.errors import BadWeightsError
from lib.domain.evidence import MassEvidence, ProposalEvidence

TRUST = "trust"  # note of a weight file
_EDGE = 0.01
_LEAST_ML = 0.05
_BOTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Log-odds: the intercept, and for each number its weight times its distance from its mean.

    Attributes:
        intercept: Log-odds where every number is at its mean.
        weights: By name of the number.
        means: The same names.
    """

    intercept: float
    weights: Mapping[str, float]
    means: Mapping[str, float]

    def parts(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """What each number adds to the log-odds."""
        return {name: self.weights[name] * (value - self.means[name]) for name, value in numbers.items()}

    def log_odds(self, numbers: Mapping[str, float]) -> float:
        """The log-odds of what these numbers are known of."""
        return self.intercept + math.fsum(self.parts(numbers).values())


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustModel:
    """How proposals are judged.

    Attributes:
        with_mass: Dice of proposals with a mass.
        without: Dice of those without.
        one_mass: Share of a single mass that is right.
        threshold: Below this expected Dice a proposal is flagged.
    """

    with_mass: Curve
    without: Curve
    one_mass: Curve
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


def numbers_of(evidence: ProposalEvidence) -> dict[str, float]:
    """The numbers that the curve of a proposal weighs."""
    if evidence.masses:
        return {
            "overlap": _log_odds(evidence.overlap),
            "confidence": _log_odds(evidence.confidence),
            "volume": math.log(evidence.mass_ml + _LEAST_ML),
        }
    return {"surest": _log_odds(evidence.surest), "doubt": math.log(evidence.doubt_ml + _LEAST_ML)}


def numbers_of_mass(evidence: MassEvidence) -> dict[str, float]:
    """The numbers that the curve of a single mass weighs."""
    return {"confidence": _log_odds(evidence.probability), "volume": math.log(evidence.volume_ml + _LEAST_ML)}


def expected_dice(evidence: ProposalEvidence, model: TrustModel) -> float:
    """Expected Dice of the masses, in 0 to 1."""
    return _share(_curve(evidence, model).log_odds(numbers_of(evidence)))


def mass_confidence(evidence: MassEvidence, model: TrustModel | None) -> float:
    """Share of a mass that is expected to be right; the mean probability when the network was never assessed."""
    return _share(model.one_mass.log_odds(numbers_of_mass(evidence))) if model else evidence.probability


def judge(evidence: ProposalEvidence, model: TrustModel | None) -> Trust:
    """Decide whether a reader should distrust a proposal, and say why."""
    if model is None:
        return Trust(expected_dice=None, distrust=False, reason="")
    expected = expected_dice(evidence, model)
    distrust = expected < model.threshold
    reason = _reason(evidence, model, expected) if distrust else ""
    return Trust(expected_dice=round(expected, 3), distrust=distrust, reason=reason)


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
        threshold = float(found.pop("threshold"))
        model = TrustModel(**{name: Curve(**curve) for name, curve in found.items()}, threshold=threshold)
        sound = all(map(math.isfinite, (threshold, *_tried(model))))
    except (ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        msg = f"the weight file's note on trust is not {', '.join(field.name for field in fields(TrustModel))}"
        raise BadWeightsError(msg)
    return model


_WORDS = {  # number -> what it means when it speaks against a proposal
    "overlap": "much beside the proposed masses may be mass too (overlap by the probabilities {overlap:.2f})",
    "confidence": "the network is unsure of what it proposes (mean probability {confidence:.2f})",
    "volume": "masses of this size are seldom right ({mass_ml:.1f} ml)",
    "surest": "no mass is proposed, though one is thought possible (probability up to {surest:.2f})",
    "doubt": "no mass is proposed, and the network is unsure of much (doubt over {doubt_ml:.1f} ml)",
}


def _reason(evidence: ProposalEvidence, model: TrustModel, expected: float) -> str:
    """One sentence: what is expected, and what speaks most against it."""
    parts = _curve(evidence, model).parts(numbers_of(evidence))
    why = _WORDS[min(parts, key=parts.__getitem__)].format(**asdict(evidence))
    sentence = f"expected mass Dice {expected:.2f}, below {model.threshold:.2f}: {why}"
    if evidence.kidneys is not None and evidence.kidneys < _BOTH:
        sentence += f"; {evidence.kidneys} of two kidneys found"
    return sentence


def _curve(evidence: ProposalEvidence, model: TrustModel) -> Curve:
    return model.with_mass if evidence.masses else model.without


def _tried(model: TrustModel) -> tuple[float, ...]:
    """What a model makes of something: every number that it needs is there."""
    some = [
        ProposalEvidence(masses=masses, mass_ml=1.0, overlap=0.5, confidence=0.5, surest=0.5, doubt_ml=1.0)
        for masses in (0, 1)
    ]
    return (
        *(expected_dice(one, model) for one in some),
        mass_confidence(MassEvidence(probability=0.5, volume_ml=1.0), model),
    )


def _log_odds(probability: float) -> float:
    inside = min(max(probability, _EDGE), 1 - _EDGE)
    return math.log(inside / (1 - inside))


def _share(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, log_odds))))
