"""A run never touches the champion unless the gate says so, and never trains on the holdout that judges it."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lib.domain.errors import NotEnoughLabelsError
from lib.domain.records import CaseScore, LabelledImage
from lib.loop.retrain import RetrainResult, images_on, retrain
from lib.loop.splits import side_of
from lib.registry.promotion import GateRule

CHAMPION, CHALLENGER = Path("champion"), Path("challenger")


def image(number: int) -> LabelledImage:
    return LabelledImage(
        image_id=f"P{number}_CP",
        patient_id=f"P{number}",
        image=Path("image"),
        label=Path("label"),
        drawn=frozenset({"mass"}),
        vendor="GE",
        scanner_model="Signa",
        label_sha256=f"sha-{number}",
    )


CASES = [image(number) for number in range(40)]
HOLDOUT = [case for case in CASES if side_of(case.patient_id) == "holdout"]
RULE = GateRule(min_patients=2)


class Run:
    """Stand-ins for training and scoring that remember what they were given."""

    def __init__(self, before: float, after: float) -> None:
        self.dice = {CHAMPION: before, CHALLENGER: after}
        self.trained: list[LabelledImage] = []
        self.scored: dict[Path, list[LabelledImage]] = {}

    def train(self, training: Sequence[LabelledImage], validation: Sequence[LabelledImage]) -> Path:
        self.trained = [*training, *validation]
        return CHALLENGER

    def score(self, weights: Path, cases: Sequence[LabelledImage]) -> list[CaseScore]:
        self.scored[weights] = list(cases)
        return [
            CaseScore(
                image_id=case.image_id,
                patient_id=case.patient_id,
                dice={"mass": self.dice[weights]},
                found=True,
                masses_found=(True,),
                false_positives=0,
            )
            for case in cases
        ]

    def go(
        self,
        cases: Sequence[LabelledImage] = CASES,
        champion: Path | None = CHAMPION,
        saw: frozenset[str] | None = None,
    ) -> RetrainResult:
        return retrain(
            cases,
            champion=champion,
            train=self.train,
            score=self.score,
            rule=RULE,
            champion_scanners=saw,
        )


def test_a_better_challenger_is_promoted() -> None:
    assert Run(0.6, 0.7).go().decision.promote


def test_a_worse_challenger_is_refused() -> None:
    decision = Run(0.7, 0.6).go().decision
    assert decision.verdict == "refuse"
    assert "0.700 before, 0.600 now" in decision.reason


def test_the_holdout_judges_both_models_and_teaches_neither() -> None:
    run = Run(0.6, 0.7)
    run.go()
    assert {side_of(case.patient_id) for case in run.trained} == {"train", "validation"}
    assert run.scored == {CHAMPION: HOLDOUT, CHALLENGER: HOLDOUT}


def test_without_a_holdout_the_challenger_waits() -> None:
    run = Run(0.6, 0.7)
    decision = run.go([case for case in CASES if case not in HOLDOUT]).decision
    assert (decision.verdict, decision.missing_patients) == ("wait", 2)


@pytest.mark.parametrize(
    ("saw", "verdict"), [(None, "refuse"), (frozenset({"GE Signa"}), "refuse"), (frozenset({"UIH"}), "promote")]
)
def test_only_a_champion_known_not_to_have_seen_a_scanner_makes_it_new(
    saw: frozenset[str] | None, verdict: str
) -> None:
    assert Run(0.6, 0.6).go(saw=saw).decision.verdict == verdict


def test_the_decision_names_the_patients_and_label_versions_by_their_hashes() -> None:
    decision = Run(0.6, 0.7).go().decision
    patients = "\n".join(sorted(case.patient_id for case in HOLDOUT))
    assert decision.patients_sha256 == hashlib.sha256(patients.encode()).hexdigest()
    corrected = [replace(case, label_sha256="new") if case in HOLDOUT[:1] else case for case in CASES]
    again = Run(0.6, 0.7).go(corrected[::-1]).decision
    assert again.patients_sha256 == decision.patients_sha256
    assert again.labels_sha256 != decision.labels_sha256


def test_the_first_model_needs_no_champion() -> None:
    assert Run(0.0, 0.2).go(champion=None).decision.promote


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
