"""Recommendations follow the figures, and never promise what few patients cannot show."""

from __future__ import annotations

import pytest

from lib.domain.records import CaseScore, PromotionDecision
from lib.loop.splits import side_of
from lib.onboarding.choose import JUDGES_EVERY, Zero, choose_patients
from lib.onboarding.verdict import by_scanner, recovered, with_labels, without_labels

PROMOTED = PromotionDecision(verdict="promote", reason="better")
WAITS = PromotionDecision(verdict="wait", reason="too few")


def scores(scanner: str, dice: float, count: int) -> list[CaseScore]:
    return [
        CaseScore(
            image_id=f"{scanner}{number}",
            dice={"mass": dice + 0.001 * number},
            found=True,
            false_positives=0,
            patient_id=f"{scanner}{number}",
            scanner=scanner,
        )
        for number in range(count)
    ]


def rows(new_before: float, new_after: float, count: int = 12):
    before = [*scores("New", new_before, count), *scores("Old", 0.6, 20)]
    after = [*scores("New", new_after, count), *scores("Old", 0.595, 20)]
    return by_scanner(before, after, {"New"})


def test_every_scanner_has_a_row_the_new_one_first() -> None:
    found = rows(0.2, 0.5)
    assert [(row.scanner, row.new, row.patients) for row in found] == [("New", True, 12), ("Old", False, 20)]
    assert found[1].difference == pytest.approx(-0.005)


def test_the_share_of_the_gap_that_was_closed() -> None:
    assert recovered(rows(0.2, 0.5)) == pytest.approx(0.3 / (0.6 + 0.0095 - 0.2055), rel=0.01)
    assert recovered(rows(0.7, 0.8)) is None


@pytest.mark.parametrize(
    ("before", "after", "count", "decision", "advice", "said"),
    [
        (0.2, 0.6, 12, PROMOTED, "go", "after fine-tuning"),
        (0.2, 0.6, 4, PROMOTED, "go with review", "6 more are needed"),
        (0.4, 0.5, 12, PROMOTED, "go with review", "short"),
        (0.1, 0.6, 12, WAITS, "do not use", "before fine-tuning"),
        (0.2, 0.25, 12, PROMOTED, "do not use", "less than half"),
    ],
)
def test_the_advice_is_about_the_model_that_would_serve(before, after, count, decision, advice, said) -> None:
    found = with_labels(rows(before, after, count), decision)
    assert found.advice == advice
    assert said in found.reason


def test_nothing_is_a_go_without_a_judge() -> None:
    assert with_labels(rows(0.5, 0.9)[1:], PROMOTED).advice == "go with review"


def zero(number: int, **more: object) -> Zero:
    usual = {"drift": 0.8, "expected_dice": None, "distrust": False, "kidneys": 2}
    return Zero(image_id=f"N{number}_CP", patient_id=f"N{number}", sequence="CP", **{**usual, **more})


@pytest.mark.parametrize(
    ("more", "advice", "said"),
    [
        ({}, "go with review", "no label of this scanner"),
        ({"kidneys": 1}, "do not use", "kidneys were not found on 6 of 6"),
        ({"drift": 9.0}, "do not use", "foreign"),
        ({"expected_dice": 0.1}, "do not use", "expected DSC"),
        ({"drift": None}, "go with review", "drift was not measured"),
    ],
)
def test_before_labels_it_is_never_a_plain_go(more, advice, said) -> None:
    found = without_labels([zero(number, **more) for number in range(6)])
    assert found.advice == advice
    assert said in found.reason


def test_the_least_trusted_patient_is_labelled_first_with_the_reason() -> None:
    images = [zero(number) for number in range(20)]
    images[7] = zero(7, kidneys=1)
    first = choose_patients(images, 3)[0]
    sides = side_of("N7")
    assert (first.patient_id == "N7") == (sides != "holdout")
    if sides != "holdout":
        assert "1 of 2 kidneys" in first.reason


def test_some_of_the_chosen_judge_the_model() -> None:
    chosen = choose_patients([zero(number) for number in range(60)], 9)
    assert sum(choice.judges for choice in chosen) == 9 // JUDGES_EVERY
    assert all(choice.judges == (side_of(choice.patient_id) == "holdout") for choice in chosen)


def test_the_chosen_are_unlike_each_other() -> None:
    near = [zero(number, features=(0.0, 0.01 * number)) for number in range(30)]
    far = next(number for number in range(30, 60) if side_of(f"N{number}") != "holdout")
    images = [*near, zero(far, features=(5.0, 5.0))]
    chosen = choose_patients(images, 2)
    assert f"N{far}" in {choice.patient_id for choice in chosen}
