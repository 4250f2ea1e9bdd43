"""The figures of ``benchmarks.trust``: calibration before and after, what the flag finds, and their plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, spearmanr

from lib.domain.evidence import MassEvidence, ProposalEvidence
from lib.domain.records import LabelledImage
from lib.imaging.calibration import Reliability, Scaling, reliability
from lib.loop.trust import TrustModel, expected_dice, mass_confidence
from lib.loop.trust_fit import FLAG_RATE
from lib.nets.assess import Sample
from lib.nets.scalings import Scalings

POOR = 0.5
RATES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looked:
    """An image, its sequence, and what the network says of it."""

    image: LabelledImage
    code: str
    sample: Sample

    @property
    def holds_mass(self) -> bool:
        """Whether its label has a mass."""
        return bool((self.sample.truth == self.sample.structures.index("mass") + 1).any())


def judged(looked: Sequence[Looked], scalings: Mapping[str, Scalings]) -> list[tuple[ProposalEvidence, float]]:
    """Evidence of each proposal, with the Dice that its masses turned out to have."""
    return [(one.sample.evidence(scalings[one.code]), one.sample.dice) for one in looked]


def calibration(looked: Sequence[Looked], scalings: Mapping[str, Scalings]) -> dict[str, dict[str, float | int]]:
    """Expected calibration error before and after, per sequence and structure, and over all sequences."""
    found = {}
    for structure in ("kidney", "mass", "cyst"):
        for code in (*scalings, "all"):
            before, after = _reliabilities(looked, scalings, structure, code)
            found[f"{code} {structure}"] = {
                "before": round(before.error, 4),
                "after": round(after.error, 4),
                "voxels": int(before.voxels.sum()),
            }
    return found


def _reliabilities(
    looked: Sequence[Looked], scalings: Mapping[str, Scalings], structure: str, code: str = "all"
) -> tuple[Reliability, Reliability]:
    stated, restated, truth = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, bool)]
    for one in looked:
        if code in {one.code, "all"}:
            probability, true = one.sample.stated(structure)
            stated.append(probability)
            restated.append(scalings[one.code].get(structure, Scaling())(probability))
            truth.append(true)
    true = np.concatenate(truth)
    return reliability(np.concatenate(stated), true), reliability(np.concatenate(restated), true)


def masses_of(looked: Sequence[Looked], scalings: Mapping[str, Scalings]) -> list[tuple[MassEvidence, float]]:
    """Evidence of each proposed mass, with the share of it that is right."""
    return [row for one in looked for row in one.sample.masses(scalings[one.code])]


def per_mass(looked: Sequence[Looked], scalings: Mapping[str, Scalings], model: TrustModel) -> dict[str, float | int]:
    """Calibration error of a mass's confidence, taken for the share of it that is right, in three stages."""
    stages = {
        "mean_probability": [row[0].probability for row in masses_of(looked, {code: {} for code in scalings})],
        "mean_calibrated_probability": [row[0].probability for row in masses_of(looked, scalings)],
        "confidence": [mass_confidence(row[0], model) for row in masses_of(looked, scalings)],
    }
    right = np.array([share for _, share in masses_of(looked, scalings)])
    real = right > 0
    found: dict[str, float | int] = {"masses": len(right), "touching_a_mass": int(real.sum())}
    for name, values in stages.items():
        found[f"error of {name}"] = round(reliability(np.array(values), right).error, 4)
        found[f"auroc of {name}"] = round(auroc(np.array(values), real), 3)
    return found


def flagging(looked: Sequence[Looked], scalings: Mapping[str, Scalings], model: TrustModel) -> dict[str, object]:
    """How the expected Dice compares with the true one, and what flagging finds at each rate."""
    rows = judged(looked, scalings)
    expected = np.array([expected_dice(evidence, model) for evidence, _ in rows])
    dice = np.array([score for _, score in rows])
    poor = dice < POOR
    flagged = expected < model.threshold
    return {
        "images": len(rows),
        "poor": int(poor.sum()),
        "auroc": round(auroc(-expected, poor), 3),
        "spearman": round(float(spearmanr(expected, dice).statistic), 3),
        "mean_absolute_error": round(float(np.abs(expected - dice).mean()), 3),
        "flag_rate": round(float(flagged.mean()), 3),
        "recall": round(float(flagged[poor].mean()), 3),
        "precision": round(float(poor[flagged].mean()), 3),
        "curve": {
            f"{rate:g}": {"recall": round(recall_at(expected, poor, rate), 3), "bound": round(_bound(poor, rate), 3)}
            for rate in RATES
        },
    }


def recall_at(expected: NDArray[np.float64], poor: NDArray[np.bool_], rate: float) -> float:
    """Share of the poor proposals among those of the lowest expected Dice."""
    lowest = np.argsort(expected, kind="stable")[: round(rate * len(expected))]
    return float(poor[lowest].sum() / max(1, poor.sum()))


def _bound(poor: NDArray[np.bool_], rate: float) -> float:
    """What nobody can exceed: every flag on a poor proposal."""
    return min(1.0, round(rate * len(poor)) / max(1, int(poor.sum())))


def auroc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Probability that a positive scores higher than a negative; NaN without either."""
    if positive.all() or not positive.any():
        return float("nan")
    return float(mannwhitneyu(score[positive], score[~positive]).statistic / (positive.sum() * (~positive).sum()))


def draw(looked: Sequence[Looked], scalings: Mapping[str, Scalings], model: TrustModel, path: Path) -> None:
    """Plot reliability, expected against true Dice, and recall against flag rate."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for table, name in zip(_reliabilities(looked, scalings, "mass"), ("as stated", "restated"), strict=True):
        left.plot(table.stated, table.true, "o-", label=f"{name}, error {table.error:.3f}")
    left.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    left.set(xlabel="stated probability of mass", ylabel="share of voxels that are mass", title="Reliability")
    rows = judged(looked, scalings)
    expected = np.array([expected_dice(evidence, model) for evidence, _ in rows])
    dice = np.array([score for _, score in rows])
    middle.scatter(expected, dice, s=12, alpha=0.6)
    middle.axvline(model.threshold, color="tab:red", linewidth=0.8, label="flagged to the left")
    middle.axhline(POOR, color="grey", linewidth=0.8)
    middle.set(xlabel="expected mass Dice", ylabel="mass Dice", title="Each proposal")
    poor, rates = dice < POOR, np.linspace(0, 1, 101)
    right.plot(rates, [recall_at(expected, poor, rate) for rate in rates], label="found")
    right.plot(rates, [_bound(poor, rate) for rate in rates], color="grey", linewidth=0.8, label="the most there is")
    right.axvline(FLAG_RATE, color="tab:red", linewidth=0.8)
    right.set(xlabel="share flagged", ylabel=f"share found of those below {POOR:g}", title="What the flag finds")
    for axes in (left, middle, right):
        axes.legend(loc="best", fontsize=8)
    figure.savefig(path, dpi=110)
