"""What the new scanner's figures mean: a table of every scanner before and after, and a recommendation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

from lib.domain.records import CaseScore, PromotionDecision
from lib.onboarding.choose import Zero
from lib.registry.paired import mean_bounds, paired_scores, patient_pairs
from lib.registry.promotion import DEFAULT_RULE, GateRule

Advice = Literal["go", "go with review", "do not use"]

FAR = 0.9  # median drift score from which proposals are expected to fail; docs/onboarding.md says how it was set
KIDNEYS_MISSED = 0.3  # share of images with fewer than two kidneys found, from which they are
LOW_EXPECTED = 0.3  # the same for the median expected DSC
POOR = 0.5  # of the old scanners' level: below, proposals cost more than they save
BOTH = 2  # kidneys
NEAR = 0.05  # DSC below the old scanners' level that is as good


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerRow:
    """One scanner's holdout patients with a mass, under the model before and the model after.

    Attributes:
        new: Whether it is the new scanner.
        before: Mean DSC of the masses.
        lower: One-sided 97 % bounds of the mean difference; minus infinity for one patient.
    """

    scanner: str
    new: bool
    patients: int
    before: float
    after: float
    lower: float
    upper: float

    @property
    def difference(self) -> float:
        """After less before."""
        return self.after - self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """Whether proposals on the new scanner may be used, with the sentence that says why."""

    advice: Advice
    reason: str


def by_scanner(
    before: Sequence[CaseScore], after: Sequence[CaseScore], new: Collection[str], rule: GateRule = DEFAULT_RULE
) -> list[ScannerRow]:
    """Compare two models scanner by scanner, the new ones first.

    Args:
        before: Scores of the model that served.
        after: Of the fine-tuned one, on the same images in the same order.
        new: Names of the new scanners.
        rule: Its confidence and its bootstrap are used.

    Raises:
        ValueError: When the two were not scored on the same images.
    """
    groups: dict[str, list[tuple[CaseScore, CaseScore]]] = {}
    for pair in paired_scores(before, after):
        groups.setdefault(pair[0].scanner or "unknown", []).append(pair)
    rows = []
    for scanner, pairs in groups.items():
        patients = patient_pairs(pairs, "mass")
        if not patients:
            continue
        bounds = mean_bounds(
            [one.challenger - one.champion for one in patients],
            confidence=rule.confidence,
            resamples=rule.resamples,
            seed=rule.seed,
        )
        rows.append(
            ScannerRow(
                scanner=scanner,
                new=scanner in new,
                patients=len(patients),
                before=fmean(one.champion for one in patients),
                after=fmean(one.challenger for one in patients),
                lower=bounds.lower,
                upper=bounds.upper,
            )
        )
    return sorted(rows, key=lambda row: (not row.new, row.scanner))


def level(rows: Sequence[ScannerRow]) -> float | None:
    """Mean DSC before over the old scanners' patients; None without any."""
    old = [row for row in rows if not row.new]
    patients = sum(row.patients for row in old)
    return sum(row.before * row.patients for row in old) / patients if patients else None


def recovered(rows: Sequence[ScannerRow]) -> float | None:
    """Share of the new scanner's gap to the old ones' level that fine-tuning closed; None where there is no gap."""
    own, reference = [row for row in rows if row.new], level(rows)
    patients = sum(row.patients for row in own)
    if not patients or reference is None:
        return None
    before, after = (
        sum(value * row.patients for row, value in zip(own, values, strict=True)) / patients
        for values in ([row.before for row in own], [row.after for row in own])
    )
    return (after - before) / (reference - before) if reference > before else None


def without_labels(images: Sequence[Zero]) -> Recommendation:
    """Recommend from what is known before anybody labelled an image of the new scanner: never a plain go."""
    drifts = [image.drift for image in images if image.drift is not None]
    expected = [image.expected_dice for image in images if image.expected_dice is not None]
    missed = sum(image.kidneys < BOTH for image in images)
    if images and missed >= KIDNEYS_MISSED * len(images):
        return Recommendation(
            advice="do not use", reason=f"both kidneys were not found on {missed} of {len(images)} images; label first"
        )
    if drifts and median(drifts) > FAR:
        reason = f"the images look foreign: median drift score {median(drifts):.2f}, above {FAR:g}; label first"
        return Recommendation(advice="do not use", reason=reason)
    if expected and median(expected) < LOW_EXPECTED:
        reason = f"the median expected DSC of the masses is {median(expected):.2f}, below {LOW_EXPECTED:g}; label first"
        return Recommendation(advice="do not use", reason=reason)
    seen = f"median drift score {median(drifts):.2f}" if drifts else "drift was not measured"
    return Recommendation(
        advice="go with review", reason=f"nothing speaks against it ({seen}), but no label of this scanner proves it"
    )


def with_labels(
    rows: Sequence[ScannerRow], decision: PromotionDecision, rule: GateRule = DEFAULT_RULE
) -> Recommendation:
    """Recommend from the holdout patients, under the model that would serve: the new one only if the gate lets it."""
    own, reference = [row for row in rows if row.new], level(rows)
    patients = sum(row.patients for row in own)
    if not patients:
        reason = "no holdout patient of this scanner with a mass is labelled: nothing judges the model on it"
        return Recommendation(advice="go with review", reason=reason)
    which = "after" if decision.promote else "before"
    now = sum((row.after if decision.promote else row.before) * row.patients for row in own) / patients
    seen = f"mean mass DSC {now:.3f} {which} fine-tuning, on {patients} holdout patients of this scanner"
    if reference is None:
        return Recommendation(advice="go with review", reason=f"{seen}; no old scanner to compare with")
    seen = f"{seen}; {reference:.3f} on the old scanners"
    if now < POOR * reference:
        return Recommendation(advice="do not use", reason=f"{seen}: less than half of that")
    if patients < rule.stratum_min_patients:
        more = rule.stratum_min_patients - patients
        return Recommendation(advice="go with review", reason=f"{seen}; {more} more are needed to be sure")
    if now >= reference - NEAR:
        return Recommendation(advice="go", reason=seen)
    return Recommendation(advice="go with review", reason=f"{seen}: {reference - now:.3f} short")
