"""Intervals against the plain way of computing them, and against published values."""

from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.evaluation.statistics import PatientBootstrap, _medians, bland_altman, proportion, summarise


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 1000))
def test_a_weighted_median_is_the_median_of_the_repeated_values(values: list[float], seed: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 3, (5, len(values)))
    weights[:, 0] += 1
    repeated = [median(np.repeat(values, row)) for row in weights]
    assert _medians(np.array(values), weights) == pytest.approx(repeated)


def test_masses_of_one_patient_are_drawn_together() -> None:
    """Two patients: every resample is all of one, all of the other, or both, so a mean has three values."""
    bootstrap = PatientBootstrap(draws=500, confidence=0.95, seed=1)
    together = bootstrap.mean([0, 0, 0, 1, 1, 1], [1, 1, 1, 2, 2, 2])
    assert (together.low, together.value, together.high) == (0.0, 0.5, 1.0)
    apart = bootstrap.mean([0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6])
    assert 0 < apart.low < 0.5 < apart.high < 1


def test_the_interval_of_a_mean_is_that_of_the_normal_theory() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    found = PatientBootstrap(draws=4000, confidence=0.95, seed=0).mean(values, range(400))
    half = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_the_order_of_cases_changes_nothing_and_the_seed_decides(bootstrap: PatientBootstrap) -> None:
    rng = np.random.default_rng(0)
    values, patients = rng.random(30), rng.integers(0, 12, 30)
    order = rng.permutation(30)
    here = summarise(values, patients, bootstrap)
    shuffled = summarise(values[order], patients[order], bootstrap)
    assert (shuffled.median, shuffled.low, shuffled.high) == pytest.approx((here.median, here.low, here.high))
    assert summarise(values, patients, PatientBootstrap(200, 0.95, 0)) == here
    assert summarise(values, patients, PatientBootstrap(200, 0.95, 1)).low != here.low


def test_one_patient_gives_figures_without_an_interval(bootstrap: PatientBootstrap) -> None:
    summary = summarise([0.4, 0.6], [7, 7], bootstrap)
    assert (summary.median, summary.low, summary.high) == (0.5, None, None)


def test_undefined_values_are_counted_not_averaged(bootstrap: PatientBootstrap) -> None:
    summary = summarise([1.0, None, 3.0], [1, 2, 3], bootstrap)
    assert (summary.n, summary.undefined, summary.mean) == (2, 1, 2.0)
    assert summarise([None], [1], bootstrap).median is None


def test_wilsons_interval_is_the_published_one() -> None:
    """Newcombe, Statistics in Medicine 1998, table I: 81 of 263 and 0 of 20."""
    found = proportion([True] * 81 + [False] * 182, range(263), 0.95)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    none = proportion([False] * 20, range(20), 0.95)
    assert (none.low, none.high) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_masses_that_share_a_patient_are_worth_less() -> None:
    hits = [True] * 20 + [False] * 20
    alone = proportion(hits, range(40), 0.95)
    in_pairs = proportion(hits, [number // 2 for number in range(40)], 0.95)
    half = proportion([True] * 10 + [False] * 10, range(20), 0.95)
    assert in_pairs.high - in_pairs.low > alone.high - alone.low
    assert in_pairs.high - in_pairs.low == pytest.approx(half.high - half.low, rel=0.05)


def test_agreement_is_that_of_bland_and_altman(bootstrap: PatientBootstrap) -> None:
    found = bland_altman([12, 9, 11, 10], [10, 10, 10, 10], [1, 2, 3, 4], bootstrap)
    sd = np.std([2, -1, 1, 0], ddof=1)
    assert (found.bias.value, found.lower, found.upper) == pytest.approx((0.5, 0.5 - 1.96 * sd, 0.5 + 1.96 * sd))
    assert bland_altman([1], [2], [1], bootstrap).lower is None
