from __future__ import annotations

import random

import pytest

from lib.activelearning.strategy import ORDERS
from lib.domain.records import Candidate

CASES = [
    Candidate(image_id=f"P{number}_{code}", patient_id=f"P{number}", sequence=code, centre=centre, scanner=scanner)
    for number, (centre, scanner) in enumerate([("A", "Signa"), ("A", "Signa"), ("B", "Ingenia")])
    for code in ("CP", "NP")
]


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_holds_every_candidate_once_with_its_reason(name: str) -> None:
    queue = ORDERS[name].order(CASES, {("A", "Signa", "CP"): 3}, random.Random(0))
    assert sorted(case.image_id for case in queue) == [case.image_id for case in CASES]
    assert all(case.reason for case in queue)
    assert ORDERS[name].order([], {}, random.Random(0)) == []


def test_what_was_labelled_least_comes_first_and_says_so() -> None:
    labelled = {("A", "Signa", "CP"): 3, ("A", "Signa", "NP"): 1, ("B", "Ingenia", "NP"): 2}
    queue = ORDERS["coverage"].order(CASES, labelled, random.Random(0))
    assert queue[0].image_id == "P2_CP"
    assert queue[0].reason == "least labelled so far: 0 labels of CP from Ingenia, centre B"
    assert {case.image_id for case in queue[1:3]} == {"P0_NP", "P1_NP"}
    assert {case.image_id for case in queue[-2:]} == {"P0_CP", "P1_CP"}


def test_by_coverage_ties_come_in_the_same_order_each_time_and_not_by_name() -> None:
    many = [
        Candidate(image_id=f"P{n:02}_CP", patient_id=f"P{n:02}", sequence="CP", centre="", scanner="")
        for n in range(40)
    ]
    first, again = (
        ORDERS["coverage"].order(cases, {}, random.Random(seed)) for seed, cases in ((0, many), (1, many[::-1]))
    )
    assert first == again
    assert [case.image_id for case in first] != [case.image_id for case in many]


def test_at_random_every_case_may_come_first() -> None:
    firsts = {ORDERS["random"].order(CASES, {}, random.Random(seed))[0].image_id for seed in range(60)}
    assert firsts == {case.image_id for case in CASES}
