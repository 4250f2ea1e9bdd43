"""A challenger goes live only if the holdout shows that it is no worse anywhere, and better somewhere."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from lib.domain.errors import BadRequestError
from lib.domain.records import CaseScore
from lib.registry.promotion import REST, GateRule, decide

RULE = GateRule()


def scores(
    masses: Sequence[float], *, vendor: str = "GE", size_mm: float = 30.0, kidney: float = 0.9, first: int = 0
) -> list[CaseScore]:
    """One patient and one mass each; a mass with a Dice of zero is missed."""
    return [
        CaseScore(
            image_id=f"P{number}_CP",
            patient_id=f"P{number}",
            vendor=vendor,
            scanner=f"{vendor} X",
            size_mm=size_mm,
            dice={"kidney": kidney, "mass": mass, "cyst": None},
            found=mass > 0,
            masses_found=(mass > 0,),
            false_positives=0,
        )
        for number, mass in enumerate(masses, start=first)
    ]


def spread(mean: float, count: int = 40) -> list[float]:
    return list(mean + 0.15 * np.sin(np.arange(count)))


def test_a_better_challenger_goes_live_and_the_reason_names_the_figures() -> None:
    verdict = decide(scores([0.6] * 40), scores([0.7] * 40))
    assert verdict.verdict == "promote"
    assert verdict.reason == (
        "no worse, and better on average: mass DSC of all (40 patients) 0.600 before, 0.700 now, "
        "difference +0.100 with lower bound +0.100 (margin -0.03)"
    )
    assert verdict.patients == verdict.masses == 40
    overall = verdict.comparisons[0]
    assert (overall.group, overall.measure, overall.patients) == ("all", "mass DSC", 40)
    assert overall.lower == pytest.approx(0.1)


def test_a_clearly_worse_challenger_is_refused() -> None:
    verdict = decide(scores([0.7] * 40), scores([0.6] * 40))
    assert verdict.verdict == "refuse"
    assert "not shown to be no worse in mass DSC of all (40 patients) 0.700 before, 0.600 now" in verdict.reason


def test_a_gain_that_noise_could_explain_away_is_refused() -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, 40)
    noise += 0.01 - noise.mean()
    verdict = decide(scores([0.5] * 40), scores(list(np.clip(0.5 + noise, 0.05, 1))))
    assert verdict.verdict == "refuse"
    assert verdict.comparisons[0].difference > 0


def test_the_same_model_again_is_no_worse_but_better_nowhere() -> None:
    same = scores(spread(0.6))
    verdict = decide(same, same)
    assert verdict.verdict == "refuse"
    assert verdict.reason.startswith("no worse, but better nowhere")


def test_covering_a_new_scanner_is_enough_of_a_gain() -> None:
    same = scores(spread(0.6))
    verdict = decide(same, same, new_scanners={"UIH uMR 790"})
    assert verdict.promote
    assert "trained on a scanner that the champion never saw (UIH uMR 790)" in verdict.reason


def test_better_kidneys_are_enough_of_a_gain() -> None:
    verdict = decide(scores([0.0] * 20, kidney=0.1), scores([0.0] * 20, kidney=0.8))
    assert verdict.promote
    assert "surely better in kidney Dice of all" in verdict.reason


def test_worse_kidneys_are_refused_even_with_better_masses() -> None:
    verdict = decide(scores([0.6] * 40, kidney=0.9), scores([0.8] * 40, kidney=0.8))
    assert verdict.verdict == "refuse"
    assert "kidney Dice of all" in verdict.reason


def test_kidneys_that_few_readers_drew_decide_nothing() -> None:
    def drawn_in_few(mass: float, kidney: float) -> list[CaseScore]:
        every = scores([mass] * 30, kidney=kidney)
        return [*every[:11], *(replace(one, dice={"kidney": None, "mass": mass}) for one in every[11:])]

    verdict = decide(drawn_in_few(0.5, 0.9), drawn_in_few(0.7, 0.1))
    assert verdict.promote
    assert {one.measure for one in verdict.comparisons} == {"mass DSC"}


# ---- too few cases


@pytest.mark.parametrize(("patients", "missing"), [(0, 20), (1, 19), (19, 1)])
def test_too_few_holdout_patients_wait_and_the_reason_says_how_many_are_missing(patients: int, missing: int) -> None:
    verdict = decide(scores([0.1] * patients), scores([0.9] * patients))
    assert verdict.verdict == "wait"
    assert not verdict.promote
    assert (verdict.patients, verdict.missing_patients) == (patients, missing)
    assert f"{patients} of 20 holdout patients with a mass are labelled: {missing} more" in verdict.reason
    assert ("so far mass DSC 0.100 before, 0.900 now" in verdict.reason) is (patients > 0)


def test_patients_without_a_mass_and_second_images_do_not_count_as_patients() -> None:
    champion = scores([0.5] * 19)
    empty = replace(champion[0], image_id="E_CP", patient_id="E", found=None, masses_found=(), dice={"mass": None})
    again = replace(champion[0], image_id="P0_again")
    more = [*champion, empty, again]
    assert decide(more, more).missing_patients == 1


def test_a_patient_with_two_images_weighs_as_much_as_one_with_one() -> None:
    champion = scores([0.5] * 20)
    twice = [*champion, replace(champion[0], image_id="P0_again")]
    better = [
        replace(score, dice={**score.dice, "mass": 0.9}) if score.patient_id == "P0" else score for score in twice
    ]
    assert decide(twice, better).comparisons[0].difference == pytest.approx(0.4 / 20)


def test_the_first_model_of_a_sequence_goes_live_once_it_is_measured_at_all() -> None:
    verdict = decide(None, scores([0.3, 0.5]))
    assert verdict.promote
    assert verdict.reason == (
        "first model of this sequence, with nothing to compare; 2 holdout patients, mean mass DSC 0.400"
    )
    waiting = decide(None, [])
    assert (waiting.verdict, waiting.missing_patients) == ("wait", 1)
    assert decide(None, [], replace(RULE, first_min_patients=0)).promote


# ---- strata


def test_a_scanner_group_that_gets_worse_blocks_a_gain_overall() -> None:
    before = scores([0.6] * 30) + scores([0.6] * 10, vendor="UIH", first=30)
    after = scores([0.8] * 30) + scores([0.4] * 10, vendor="UIH", first=30)
    verdict = decide(before, after)
    assert verdict.comparisons[0].no_worse
    assert verdict.verdict == "refuse"
    assert "not shown to be no worse in mass DSC of UIH over 20 mm (10 patients)" in verdict.reason


def test_thin_strata_are_judged_together() -> None:
    thin = ("Siemens", "Philips", "UIH", "Canon")

    def cohort(ge: float, others: float) -> list[CaseScore]:
        rest = [
            score for n, vendor in enumerate(thin) for score in scores([others] * 3, vendor=vendor, first=30 + 3 * n)
        ]
        return scores([ge] * 30) + rest

    verdict = decide(cohort(0.6, 0.6), cohort(0.9, 0.4))
    assert verdict.verdict == "refuse"
    assert f"{REST} (12 patients)" in verdict.reason


def test_a_stratum_with_too_few_cases_is_not_judged() -> None:
    before = scores([0.6] * 30) + scores([0.6] * 9, size_mm=12, first=30)
    after = scores([0.8] * 30) + scores([0.5] * 9, size_mm=12, first=30)
    verdict = decide(before, after)
    assert verdict.promote
    assert [group.group for group in verdict.comparisons] == ["all", "all", "GE over 20 mm"]


def test_sizes_part_at_the_split() -> None:
    before = scores([0.6] * 10, size_mm=20.0) + scores([0.6] * 10, size_mm=20.1, first=10)
    groups = {one.group: one.patients for one in decide(before, before).comparisons[2:]}
    assert groups == {"GE over 20 mm": 10, "GE up to 20 mm": 10}


def test_spellings_of_one_vendor_are_one_stratum() -> None:
    before = scores([0.6] * 10, vendor="GE MEDICAL SYSTEMS") + scores([0.6] * 10, vendor="GE", first=10)
    assert [(one.group, one.patients) for one in decide(before, before).comparisons[2:]] == [("GE over 20 mm", 20)]


# ---- masses


@pytest.mark.parametrize(("lost", "verdict"), [(4, "promote"), (5, "refuse")])
def test_newly_missed_masses_beyond_the_tolerance_block_a_gain(lost: int, verdict: str) -> None:
    before = scores([0.5] * 40)
    found = decide(before, scores([0.0] * lost + [0.9] * (40 - lost)), replace(RULE, stratum_margin=1))
    assert found.verdict == verdict
    assert (found.lost_masses, found.gained_masses) == (lost, 0)
    assert ("misses 5 of 40 masses that the champion finds; at most 4 may be" in found.reason) is (verdict == "refuse")


def test_each_mass_of_an_image_counts() -> None:
    before = [replace(score, masses_found=(True, True)) for score in scores([0.5] * 20)]
    after = [replace(score, masses_found=(True, False)) for score in scores([0.9] * 20)]
    verdict = decide(before, after)
    assert verdict.verdict == "refuse"
    assert (verdict.masses, verdict.lost_masses) == (40, 20)


def test_a_challenger_that_proposes_many_false_masses_is_refused() -> None:
    after = [replace(score, false_positives=1) for score in scores([0.9] * 40)]
    verdict = decide(scores([0.5] * 40), after)
    assert verdict.verdict == "refuse"
    assert "1.00 more false masses per patient; at most 0.5" in verdict.reason


# ---- bad input


def test_scores_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="champion has 3 scores, challenger 4"):
        decide(scores([0.7] * 3), scores([0.7] * 4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": -0.1}, "gate_margin is -0.1; expected 0 to 1"),
        ({"confidence": float("nan")}, "gate_confidence is nan; expected 0.5 to 0.999"),
        ({"min_patients": 1}, "gate_min_patients is 1; expected 2 to inf"),
    ],
)
def test_a_rule_that_cannot_be_applied_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        replace(RULE, **change)
