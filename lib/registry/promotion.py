"""The gate: may a challenger take the champion's place? Pure: scores of both on the holdout in, a verdict out."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from lib.domain.errors import BadRequestError
from lib.domain.records import CaseScore, GroupComparison, PromotionDecision
from lib.domain.scanners import vendor_of
from lib.registry.paired import PatientPair, ScorePair, mean_bounds, paired_scores, patient_pairs

EVERYONE = "all"
REST = "all other groups"
_ROUNDING = 1e-9  # a tenth of thirty is three, not a hair more


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRule:
    """When a challenger is good enough; docs/gate.md says why these figures.

    Attributes:
        margin: Mass DSC that the lower bound of the mean difference may lie below zero, over all patients.
        stratum_margin: The same within a vendor x size stratum.
        kidney_margin: The same for the kidneys' Dice, over all patients.
        confidence: Of every bound, one-sided.
        min_patients: Holdout patients with a mass, below which nothing is judged.
        stratum_min_patients: The same for a stratum; thinner strata of all vendors are judged together.
        first_min_patients: Holdout patients that the first model of a sequence is measured on.
        size_split_mm: Largest diameter that parts the two sizes.
        lost_share: Of the masses that the champion finds, the share (rounded up) that may be newly missed.
        more_false_masses: Mean number of additional false masses per patient that is tolerated.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """

    margin: float = 0.03
    stratum_margin: float = 0.15
    kidney_margin: float = 0.03
    confidence: float = 0.97
    min_patients: int = 20
    stratum_min_patients: int = 10
    first_min_patients: int = 1
    size_split_mm: float = 20.0
    lost_share: float = 0.1
    more_false_masses: float = 0.5
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a rule that cannot be applied.

        Raises:
            BadRequestError: When a figure is out of range.
        """
        for name, (lowest, highest) in _RANGES.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                msg = f"setting gate_{name} is {value:g}; expected {lowest:g} to {highest:g}"
                raise BadRequestError(msg)


_RANGES = {
    "margin": (0, 1),
    "stratum_margin": (0, 1),
    "kidney_margin": (0, 1),
    "confidence": (0.5, 0.999),
    "min_patients": (2, math.inf),
    "stratum_min_patients": (2, math.inf),
    "first_min_patients": (0, math.inf),
    "size_split_mm": (0, math.inf),
    "lost_share": (0, 1),
    "more_false_masses": (0, math.inf),
    "resamples": (100, 1_000_000),
    "seed": (0, math.inf),
}
DEFAULT_RULE = GateRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """Everything that the rule looks at; the comparison over all patients' masses comes first."""

    rule: GateRule
    comparisons: tuple[GroupComparison, ...]
    masses: int
    found_before: int
    lost: int
    gained: int
    more_false: float
    new_scanners: tuple[str, ...]


def decide(
    champion: Sequence[CaseScore] | None,
    challenger: Sequence[CaseScore],
    rule: GateRule = DEFAULT_RULE,
    *,
    new_scanners: Collection[str] = (),
) -> PromotionDecision:
    """Judge a challenger by its scores on the holdout.

    Args:
        champion: Scores of the model that serves; None when there is none.
        challenger: Scores of the new model on the same images in the same order.
        rule: What is good enough.
        new_scanners: Scanners that the challenger was trained on and the champion was not; each is its own stratum.

    Raises:
        ValueError: When the two were not scored on the same images.
    """
    if champion is None:
        return _first(challenger, rule)
    scores = paired_scores(champion, challenger)
    masses = patient_pairs(scores, "mass")
    if len(masses) < rule.min_patients:
        return _too_few(masses, rule)
    return _judged(_evidence(scores, masses, rule, new_scanners))


def _first(challenger: Sequence[CaseScore], rule: GateRule) -> PromotionDecision:
    """Nothing serves yet, so nothing can get worse: measured at all is enough."""
    patients = len({score.patient_id or score.image_id for score in challenger})
    missing = rule.first_min_patients - patients
    if missing > 0:
        reason = f"first model of this sequence, measured on {patients} of {rule.first_min_patients} holdout patients"
        return PromotionDecision(verdict="wait", reason=reason, patients=patients, missing_patients=missing)
    pairs = patient_pairs([(score, score) for score in challenger], "mass")
    figure = f"mean mass DSC {fmean(pair.challenger for pair in pairs):.3f}" if pairs else "no mass among them"
    return PromotionDecision(
        verdict="promote",
        reason=f"first model of this sequence, with nothing to compare; {patients} holdout patients, {figure}",
        patients=patients,
    )


def _too_few(masses: Sequence[PatientPair], rule: GateRule) -> PromotionDecision:
    """Nothing is concluded, but an admin sees the figures so far."""
    missing = rule.min_patients - len(masses)
    so_far = (_compare(masses, EVERYONE, "mass DSC", rule.margin, rule),) if masses else ()
    figures = "".join(f"; so far {one.measure} {one.champion:.3f} before, {one.challenger:.3f} now" for one in so_far)
    return PromotionDecision(
        verdict="wait",
        reason=f"{len(masses)} of {rule.min_patients} holdout patients with a mass are labelled: "
        f"{missing} more are needed to judge it{figures}",
        patients=len(masses),
        missing_patients=missing,
        comparisons=so_far,
    )


# ---- what the rule looks at


def _evidence(
    scores: Sequence[ScorePair], masses: Sequence[PatientPair], rule: GateRule, new_scanners: Collection[str]
) -> _Evidence:
    overall = _compare(masses, EVERYONE, "mass DSC", rule.margin, rule)
    found = [pair for old, new in scores for pair in zip(old.masses_found, new.masses_found, strict=True)]
    patients = len({old.patient_id or old.image_id for old, _ in scores})
    return _Evidence(
        rule=rule,
        comparisons=(overall, *_kidneys(scores, rule), *_strata(masses, rule, new_scanners)),
        masses=len(found),
        found_before=sum(old for old, _ in found),
        lost=sum(old and not new for old, new in found),
        gained=sum(new and not old for old, new in found),
        more_false=sum(new.false_positives - old.false_positives for old, new in scores) / patients,
        new_scanners=tuple(sorted(new_scanners)),
    )


def _compare(pairs: Sequence[PatientPair], group: str, measure: str, margin: float, rule: GateRule) -> GroupComparison:
    bounds = mean_bounds(
        [pair.challenger - pair.champion for pair in pairs],
        confidence=rule.confidence,
        resamples=rule.resamples,
        seed=rule.seed,
    )
    return GroupComparison(
        group=group,
        measure=measure,
        patients=len(pairs),
        champion=fmean(pair.champion for pair in pairs),
        challenger=fmean(pair.challenger for pair in pairs),
        lower=bounds.lower,
        upper=bounds.upper,
        margin=margin,
    )


def _kidneys(scores: Iterable[ScorePair], rule: GateRule) -> tuple[GroupComparison, ...]:
    """Over all patients; nothing when readers drew the kidneys of too few."""
    pairs = patient_pairs(scores, "kidney")
    if len(pairs) < rule.min_patients:
        return ()
    return (_compare(pairs, EVERYONE, "kidney Dice", rule.kidney_margin, rule),)


def _strata(pairs: Iterable[PatientPair], rule: GateRule, new_scanners: Collection[str]) -> tuple[GroupComparison, ...]:
    """New scanners, else vendor x size, where there are enough patients; the thinner ones together, if enough."""
    groups: dict[str, list[PatientPair]] = {}
    for pair in pairs:
        groups.setdefault(_stratum(pair, rule.size_split_mm, new_scanners), []).append(pair)
    enough = {name: group for name, group in sorted(groups.items()) if len(group) >= rule.stratum_min_patients}
    rest = [pair for name, group in groups.items() if name not in enough for pair in group]
    if enough and len(rest) >= rule.stratum_min_patients:
        enough[REST] = rest
    return tuple(_compare(group, name, "mass DSC", rule.stratum_margin, rule) for name, group in enough.items())


def _stratum(pair: PatientPair, split_mm: float, new_scanners: Collection[str]) -> str:
    if pair.scanner and pair.scanner in new_scanners:
        return f"{pair.scanner} (new)"
    vendor = vendor_of(pair.vendor)
    if pair.size_mm is None:
        return f"{vendor} of unknown size"
    return f"{vendor} {'up to' if pair.size_mm <= split_mm else 'over'} {split_mm:g} mm"


# ---- the rule


def _judged(seen: _Evidence) -> PromotionDecision:
    objections = [text for check in _CHECKS for text in check(seen)]
    gain = _gain(seen)
    overall = seen.comparisons[0]
    unless = f"no worse, {f'and {gain}' if gain else 'but better nowhere'}: {_figures(overall)}"
    return PromotionDecision(
        verdict="promote" if gain and not objections else "refuse",
        reason="; ".join(objections) or unless,
        patients=overall.patients,
        comparisons=seen.comparisons,
        masses=seen.masses,
        lost_masses=seen.lost,
        gained_masses=seen.gained,
    )


def _compared(seen: _Evidence) -> list[str]:
    return [f"not shown to be no worse in {_figures(group)}" for group in seen.comparisons if not group.no_worse]


def _lost(seen: _Evidence) -> list[str]:
    allowed = math.ceil(seen.rule.lost_share * seen.found_before - _ROUNDING)
    if seen.lost <= allowed:
        return []
    return [f"misses {seen.lost} of {seen.found_before} masses that the champion finds; at most {allowed} may be"]


def _false(seen: _Evidence) -> list[str]:
    if seen.more_false <= seen.rule.more_false_masses:
        return []
    tolerated = f"at most {seen.rule.more_false_masses:g} are tolerated"
    return [f"proposes {seen.more_false:.2f} more false masses per patient; {tolerated}"]


_CHECKS: tuple[Callable[[_Evidence], list[str]], ...] = (_compared, _lost, _false)


def _gain(seen: _Evidence) -> str:
    """Where the challenger improves; empty when nowhere."""
    if seen.comparisons[0].difference > 0:
        return "better on average"
    if seen.new_scanners:
        return f"trained on a scanner that the champion never saw ({', '.join(seen.new_scanners)})"
    surely = next((group for group in seen.comparisons if group.lower > 0), None)
    return f"surely better in {surely.measure} of {surely.group}" if surely else ""


def _figures(group: GroupComparison) -> str:
    return (
        f"{group.measure} of {group.group} ({group.patients} patients) {group.champion:.3f} before, "
        f"{group.challenger:.3f} now, difference {group.difference:+.3f} with lower bound {group.lower:+.3f} "
        f"(margin -{group.margin:g})"
    )
