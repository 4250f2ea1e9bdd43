"""A run never touches the champion unless the challenger is no worse, and never sees the holdout."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lib.domain.errors import NotEnoughLabelsError
from lib.domain.records import CaseScore, LabelledImage
from lib.loop.retrain import RetrainResult, images_on, retrain
from lib.loop.splits import side_of

CHAMPION, CHALLENGER = Path("champion"), Path("challenger")


def image(number: int) -> LabelledImage:
    return LabelledImage(
        image_id=f"P{number}_CP",
        patient_id=f"P{number}",
        image=Path("image"),
        label=Path("label"),
        drawn=frozenset({"mass"}),
    )


CASES = [image(number) for number in range(40)]


class Run:
    """Stand-ins for training and scoring that remember what they were given."""

    def __init__(self, before: float, after: float) -> None:
        self.dice = {CHAMPION: before, CHALLENGER: after}
        self.trained: list[LabelledImage] = []
        self.published: list[Path] = []

    def train(self, training: Sequence[LabelledImage], validation: Sequence[LabelledImage]) -> Path:
        self.trained = [*training, *validation]
        return CHALLENGER

    def score(self, weights: Path, cases: Sequence[LabelledImage]) -> list[CaseScore]:
        return [
            CaseScore(image_id=case.image_id, dice={"mass": self.dice[weights]}, found=True, false_positives=0)
            for case in cases
        ]

    def go(self, cases: Sequence[LabelledImage] = CASES, champion: Path | None = CHAMPION) -> RetrainResult:
        return retrain(cases, champion=champion, train=self.train, score=self.score, publish=self.published.append)


def test_a_better_challenger_is_published() -> None:
    run = Run(0.6, 0.7)
    assert run.go().decision.promote
    assert run.published == [CHALLENGER]


def test_a_worse_challenger_changes_nothing() -> None:
    run = Run(0.7, 0.6)
    assert "fell from 0.700 to 0.600" in run.go().decision.reason
    assert run.published == []


def test_the_holdout_is_never_seen() -> None:
    run = Run(0.6, 0.7)
    run.go()
    assert {side_of(case.patient_id) for case in run.trained} == {"train", "validation"}


def test_the_first_model_needs_no_champion() -> None:
    run = Run(0.0, 0.2)
    run.go(champion=None)
    assert run.published == [CHALLENGER]


@pytest.mark.parametrize("missing", ["train", "validation"])
def test_an_empty_side_is_refused_before_training(missing: str) -> None:
    run = Run(0.6, 0.7)
    cases = [case for case in CASES if side_of(case.patient_id) != missing]
    with pytest.raises(NotEnoughLabelsError, match=f"{len(cases)} labelled images, none .* {missing} side"):
        run.go(cases)
    assert run.trained == []


def test_sides_do_not_share_a_patient() -> None:
    sides = [images_on(CASES, side) for side in ("train", "validation", "holdout")]
    assert sorted(case.image_id for side in sides for case in side) == sorted(case.image_id for case in CASES)
