"""A challenger goes live only if its validation is not worse."""

import pytest

from lib.domain.records import CaseScore
from lib.registry.promotion import decide


def scores(mass: float, kidney: float = 0.9, found: bool = True, count: int = 4) -> list[CaseScore]:
    return [
        CaseScore(
            image_id=f"P{n}_CP", dice={"kidney": kidney, "mass": mass, "cyst": None}, found=found, false_positives=0
        )
        for n in range(count)
    ]


def test_an_equal_challenger_is_not_worse() -> None:
    assert decide(scores(0.7), scores(0.7)).promote


def test_a_better_challenger_goes_live_and_says_by_how_much() -> None:
    verdict = decide(scores(0.7), scores(0.8))
    assert verdict.promote
    assert "0.800 before, 0.850 now" in verdict.reason


def test_a_worse_mass_dice_is_refused_even_with_better_kidneys() -> None:
    verdict = decide(scores(0.70, kidney=0.5), scores(0.69, kidney=0.99))
    assert not verdict.promote
    assert "mass Dice fell from 0.700 to 0.690" in verdict.reason


def test_worse_kidneys_are_refused() -> None:
    verdict = decide(scores(0.7, kidney=0.9), scores(0.7, kidney=0.8))
    assert not verdict.promote
    assert "all structures fell" in verdict.reason


def test_a_lost_mass_is_refused_even_with_better_dice() -> None:
    better = scores(0.95)
    lost = [*better[:3], scores(0.95, found=False)[3]]
    verdict = decide(scores(0.7), lost)
    assert not verdict.promote
    assert "loses the mass on 1" in verdict.reason


def test_without_validation_images_nothing_goes_live() -> None:
    assert not decide([], []).promote
    assert not decide(None, []).promote


def test_the_first_model_of_a_sequence_goes_live() -> None:
    assert decide(None, scores(0.3)).promote


def test_scores_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="champion has 3 scores, challenger 4"):
        decide(scores(0.7, count=3), scores(0.7))
