from __future__ import annotations

import random
from dataclasses import replace

import pytest

from lib.activelearning.strategy import ORDERS
from lib.activelearning.uncertainty import SHARP_AFTER, sharpness
from lib.domain.records import Candidate, Priority

CASES = [
    Candidate(image_id=f"P{number}_{code}", patient_id=f"P{number}", sequence=code, centre=centre, scanner=scanner)
    for number, (centre, scanner) in enumerate([("A", "Signa"), ("A", "Signa"), ("B", "Ingenia")])
    for code in ("CP", "NP")
]
MANY = [
    Candidate(image_id=f"P{n:02}_CP", patient_id=f"P{n:02}", sequence="CP", centre="", scanner="") for n in range(40)
]


def done(count: int, **facts: str) -> list[Candidate]:
    """So many labelled images of one kind."""
    kind = {"sequence": "CP", "centre": "A", "scanner": "Signa", **facts}
    return [Candidate(image_id=f"D{n}_{kind}", patient_id=f"D{n}", **kind) for n in range(count)]


def queue(name: str, cases: list[Candidate], labelled: list[Candidate] | None = None, seed: int = 0) -> list[Priority]:
    return ORDERS[name].order(cases, labelled or [], random.Random(seed))


def unsure(*doubts: tuple[float, float]) -> list[Candidate]:
    """Images with doubts about mass and kidney."""
    return [
        replace(case, uncertainty={"mass": mass, "kidney": kidney}, model_version="CP-7")
        for case, (mass, kidney) in zip(MANY, doubts, strict=False)
    ]


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_holds_every_candidate_once_with_its_reason(name: str) -> None:
    measured = [replace(case, uncertainty={"mass": 0.3}, disagreement={"mass": 0.5}) for case in CASES[:3]]
    for cases in (CASES, [*measured, *CASES[3:]]):
        found = queue(name, cases, done(3))
        assert sorted(case.image_id for case in found) == [case.image_id for case in CASES]
        assert all(case.reason for case in found)
    assert queue(name, []) == []


@pytest.mark.parametrize("name", [name for name in ORDERS if name != "random"])
def test_an_order_is_the_same_each_time_so_that_what_comes_next_can_be_prepared(name: str) -> None:
    assert queue(name, MANY, seed=0) == queue(name, MANY, seed=1)


def test_what_was_labelled_least_comes_first_and_says_so() -> None:
    labelled = [*done(3), *done(1, sequence="NP"), *done(2, centre="B", scanner="Ingenia", sequence="NP")]
    found = queue("coverage", CASES, labelled)
    assert found[0].image_id == "P2_CP"
    assert found[0].reason == "least labelled so far: 0 labels of CP from Ingenia, centre B"
    assert {case.image_id for case in found[1:3]} == {"P0_NP", "P1_NP"}
    assert {case.image_id for case in found[-2:]} == {"P0_CP", "P1_CP"}


def test_a_size_that_was_labelled_less_comes_first_where_sizes_are_known() -> None:
    small, large = replace(CASES[0], size="14"), replace(CASES[2], size="36.5")
    found = queue("coverage", [large, small], done(2, size="31"))
    assert [case.image_id for case in found] == ["P0_CP", "P1_CP"]
    assert found[0].reason == "least labelled so far: 0 labels of CP from Signa, centre A, a mass of 1-2 cm"


def test_by_coverage_ties_do_not_come_by_name() -> None:
    found = queue("coverage", MANY)
    assert found == queue("coverage", MANY[::-1])
    assert [case.image_id for case in found] != [case.image_id for case in MANY]


def test_at_random_every_case_may_come_first() -> None:
    firsts = {queue("random", CASES, seed=seed)[0].image_id for seed in range(60)}
    assert firsts == {case.image_id for case in CASES}


def test_at_random_a_case_keeps_its_place_while_others_are_labelled() -> None:
    before, after = queue("random", MANY), queue("random", MANY[7:])
    assert after == [case for case in before if case.image_id not in {done.image_id for done in MANY[:7]}]
    assert [case.image_id for case in before] != sorted(case.image_id for case in before)


def test_mass_and_kidney_take_turns_in_uncertainty() -> None:
    cases = unsure((0.9, 0.1), (0.8, 0.1), (0.1, 0.9), (0.1, 0.8))
    found = queue("uncertainty", cases, done(SHARP_AFTER))
    assert [case.image_id for case in found] == ["P00_CP", "P02_CP", "P01_CP", "P03_CP"]
    assert found[0].reason == "the model is unsure of the mass here: doubt 0.90, place 1 of 4 (model CP-7)"
    assert "of the kidney here: doubt 0.90" in found[1].reason


def test_noise_decays_as_labels_arrive() -> None:
    assert [sharpness(0), sharpness(SHARP_AFTER), sharpness(10 * SHARP_AFTER)] == [1, 100, 100]
    cases = unsure(*((0.2 + 0.02 * n, 0.2) for n in range(40)))
    masses = [
        [case.image_id for case in queue("uncertainty", cases, labelled) if "mass" in case.reason]
        for labelled in ([], done(SHARP_AFTER))
    ]
    best = sorted((case.image_id for case in cases), reverse=True)[:5]
    assert masses[1][:5] == best
    assert masses[0][:5] != best


@pytest.mark.parametrize("name", ["uncertainty", "disagreement"])
def test_what_was_not_measured_comes_last_by_coverage(name: str) -> None:
    measured = replace(CASES[0], uncertainty={"mass": 0.0}, disagreement={"mass": 0.0})
    found = queue(name, [*CASES[1:], measured])
    assert found[0].image_id == measured.image_id
    assert [case.image_id for case in found[1:]] == [case.image_id for case in queue("coverage", CASES[1:])]


def test_patients_whose_sequences_contradict_each_other_come_first_and_the_reason_says_how_much() -> None:
    shares = {"P0_CP": 0.1, "P1_NP": 0.75, "P2_CP": 0.4}
    cases = [replace(case, disagreement={"mass": shares[case.image_id]}) for case in CASES if case.image_id in shares]
    found = queue("disagreement", cases)
    assert [case.image_id for case in found] == ["P1_NP", "P2_CP", "P0_CP"]
    assert "75% of the mass is not there on the others, place 1 of 3" in found[0].reason


def test_hybrid_prefers_what_stands_well_in_every_order_and_names_the_ranks() -> None:
    best = replace(MANY[7], uncertainty={"mass": 0.9, "kidney": 0.9}, disagreement={"mass": 0.9}, scanner="Ingenia")
    rest = [
        replace(case, uncertainty={"mass": 0.2, "kidney": 0.2}, disagreement={"mass": 0.1}, scanner="Signa")
        for case in MANY[:7]
    ]
    found = queue("hybrid", [*rest, best], [*done(SHARP_AFTER, centre="")])
    assert found[0].image_id == best.image_id
    assert found[0].reason.endswith("; ranks: uncertainty 1, coverage 1, disagreement 1")
