"""A thousand simulated rounds: labels in any order, some corrupted, and the truth about each challenger is known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator

from benchmarks.gate import MECHANISMS, NOISE, as_scores, draw_holdout
from lib.domain.records import CaseScore, LabelledImage
from lib.domain.structures import STRUCTURE_NAMES
from lib.loop.retrain import retrain
from lib.loop.splits import side_of

CHAMPION, CHALLENGER = Path("champion"), Path("challenger")
ROUNDS = {-0.03: 500, 0.0: 100, 0.03: 400}
HOLDOUT = 40
CORRUPTED = 0.05
MEASURED = NOISE["phantom, correlation 0.88"]  # between successive versions of a network that ships


@pytest.fixture(scope="module")
def pool() -> list[LabelledImage]:
    return [
        LabelledImage(
            image_id=f"Q{number}_{code}",
            patient_id=f"Q{number}",
            image=Path("image"),
            label=Path("label"),
            drawn=frozenset(STRUCTURE_NAMES),
        )
        for number, code in enumerate(["NP", "CP"] * 300)
    ]


class Round:
    """One run of the loop on the labels that have come so far."""

    def __init__(self, rng: Generator, effect: float) -> None:
        self.rng, self.effect = rng, effect
        self.shown: dict[str, set[str]] = {"train": set(), "validation": set(), "holdout": set()}
        self.scores: dict[Path, list[CaseScore]] = {}

    def train(self, training: Sequence[LabelledImage], validation: Sequence[LabelledImage]) -> Path:
        self.shown["train"] = {case.patient_id for case in training}
        self.shown["validation"] = {case.patient_id for case in validation}
        return CHALLENGER

    def score(self, weights: Path, cases: Sequence[LabelledImage]) -> list[CaseScore]:
        self.shown["holdout"] = {case.patient_id for case in cases}
        if not self.scores:
            both = as_scores(self.rng, draw_holdout(self.rng, len(cases), MEASURED, MECHANISMS["both"](self.effect)))
            broken = self.rng.random(len(cases)) < CORRUPTED
            self.scores = {
                path: [corrupted(one) if bad else one for one, bad in zip(found, broken, strict=True)]
                for path, found in zip((CHAMPION, CHALLENGER), both, strict=True)
            }
        return self.scores[weights]

    def go(self, cases: Sequence[LabelledImage]) -> bool:
        return retrain(cases, champion=CHAMPION, train=self.train, score=self.score).decision.promote


def corrupted(score: CaseScore) -> CaseScore:
    """What a label that lies elsewhere does to any model's score."""
    return CaseScore(
        image_id=score.image_id,
        patient_id=score.patient_id,
        vendor=score.vendor,
        size_mm=score.size_mm,
        dice={**score.dice, "mass": 0.0},
        found=False,
        masses_found=(False,),
        false_positives=score.false_positives + 1,
    )


def arrived(rng: Generator, pool: Sequence[LabelledImage], on_holdout: list[bool]) -> list[LabelledImage]:
    """Labels in a random order, until the holdout has enough patients."""
    order = rng.permutation(len(pool))
    enough = int(np.searchsorted(np.cumsum(np.array(on_holdout)[order]), HOLDOUT)) + 1
    return [pool[number] for number in order[:enough]]


@pytest.mark.slow
def test_worse_challengers_are_kept_out_better_ones_let_in_and_no_patient_changes_sides(
    pool: list[LabelledImage],
) -> None:
    rng = np.random.default_rng(20)
    on_holdout = [side_of(case.patient_id) == "holdout" for case in pool]
    seen: dict[str, set[str]] = {"train": set(), "validation": set(), "holdout": set()}
    promoted = dict.fromkeys(ROUNDS, 0)
    for effect in rng.permutation([effect for effect, count in ROUNDS.items() for _ in range(count)]).tolist():
        one = Round(rng, effect)
        promoted[effect] += one.go(arrived(rng, pool, on_holdout))
        assert len(one.shown["holdout"]) == HOLDOUT
        for side, patients in one.shown.items():
            seen[side] |= patients
    assert not seen["train"] & seen["validation"]
    assert not seen["holdout"] & (seen["train"] | seen["validation"])
    rates = {effect: promoted[effect] / count for effect, count in ROUNDS.items()}
    assert rates[-0.03] <= 0.05, rates
    assert rates[0.03] >= 0.80, rates
