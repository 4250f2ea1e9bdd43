"""Levels, tables and their tests."""

from dataclasses import replace
from itertools import pairwise

import pytest
from scipy import stats

from lib.domain.criteria import CRITERIA
from lib.evaluation.level_tests import compare_detection, compare_dice
from lib.evaluation.levels import UNKNOWN, levels_of, size_level
from lib.evaluation.subgroups import subgroups


@pytest.mark.parametrize(
    ("size_mm", "level"),
    [(0.5, "0-1 cm"), (10, "0-1 cm"), (10.01, "1-2 cm"), (30, "2-3 cm"), (40, "3-4 cm"), (41, "over 4 cm")],
)
def test_the_upper_edge_belongs_to_a_size_class(size_mm: float, level: str) -> None:
    assert size_level(size_mm) == level


def test_ages_are_cut_into_thirds_and_field_strengths_are_not() -> None:
    names, level = levels_of([str(age) for age in range(31, 91)])
    assert len(names) == 3
    assert (level("31"), level("60"), level("90"), level("")) == (*names, UNKNOWN)
    assert levels_of(["3", "1.5", "3", ""])[0] == ("1.5", "3")


def test_two_levels_are_compared_by_mann_whitney_and_more_by_kruskal_wallis() -> None:
    a, b, c = [0.1, 0.2, 0.3, 0.5], [0.4, 0.6, 0.7], [0.9, 0.8, 0.75]
    two, three = compare_dice({"a": a, "b": b}), compare_dice({"a": a, "b": b, "c": c})
    assert (two.test, two.p) == ("Mann-Whitney", pytest.approx(stats.mannwhitneyu(a, b).pvalue))
    assert (three.test, three.p) == ("Kruskal-Wallis", pytest.approx(stats.kruskal(a, b, c).pvalue))


def test_fishers_test_on_the_lady_tasting_tea() -> None:
    found = compare_detection({"milk": [True] * 3 + [False], "tea": [True] + [False] * 3})
    assert (found.test, found.p) == ("Fisher", pytest.approx(34 / 70))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"a": [0.1, 0.2, 0.3], "b": [0.5]}, "b"),
        ({"a": [0.1, 0.2, 0.3]}, "fewer than two levels"),
        ({}, "fewer than two levels"),
        ({"a": [0.5] * 3, "b": [0.5] * 3}, "equal"),
    ],
)
def test_what_cannot_be_tested_says_why(values, said: str) -> None:
    found = compare_dice(values)
    assert (found.test, found.p) == ("", None)
    assert said in found.note


def test_nothing_is_tested_when_every_patient_is_found() -> None:
    assert "every patient" in compare_detection({"a": [True] * 4, "b": [True] * 4}).note


def test_p_values_of_a_sequence_are_adjusted_for_each_other(case, bootstrap) -> None:
    cases = [
        case(
            n, dice=0.3 + 0.02 * n, size_mm=5 + 1.1 * n, vendor=("GE", "Philips")[n % 2], found=[1.0 if n % 3 else None]
        )
        for n in range(30)
    ]
    tables = subgroups(cases, sequence="CP", factors=["vendor"], from_label=True, bootstrap=bootstrap)
    tests = [test for table in tables for test in table.tests if test.p is not None]
    ordered = sorted(tests, key=lambda test: test.p)
    assert len(ordered) == 4
    assert ordered[0].p_holm == pytest.approx(min(1, 4 * ordered[0].p))
    assert all(one.p_holm <= other.p_holm for one, other in pairwise(ordered))


def test_masses_are_counted_by_their_own_size_and_patients_by_their_largest(case, bootstrap) -> None:
    small = replace(case(1).masses[0], diameter_mm=8.0, found_at=dict.fromkeys(CRITERIA))
    one = replace(case(1), masses=(*case(1).masses, small))
    by_patient, by_mass, *_ = subgroups([one], sequence="CP", factors=[], from_label=True, bootstrap=bootstrap)
    assert {row.level: row.patients for row in by_patient.levels if row.patients} == {"2-3 cm": 1}
    assert {row.level: (row.masses, row.detection["overlap"].count) for row in by_mass.levels if row.masses} == {
        "0-1 cm": (1, 0),
        "2-3 cm": (1, 1),
    }
    assert by_mass.tests == ()


def test_an_unknown_value_is_shown_and_not_tested(case, bootstrap) -> None:
    cases = [case(n, dice=n / 20, vendor=("GE", "Philips", "")[n % 3]) for n in range(1, 13)]
    table = subgroups(cases, sequence="CP", factors=["vendor"], from_label=False, bootstrap=bootstrap)[1]
    assert [(row.level, row.patients) for row in table.levels] == [("GE", 4), ("Philips", 4), (UNKNOWN, 4)]
    assert table.tests[0].n == 8
