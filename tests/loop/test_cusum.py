"""Change detection: how often it cries wolf is stated in docs/monitoring.md, and simulated here."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from lib.loop.cusum import DEFAULT_RULE, chart

DRAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "skewed like Dice": lambda rng, n: rng.beta(5, 1.5, n),
    "without a mean": lambda rng, n: rng.standard_cauchy(n),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_false_alarms_come_about_once_in_a_thousand_values_whatever_the_distribution(draw) -> None:
    rng, alarms, values = default_rng(0), 0, 0
    for _ in range(25):
        series = draw(rng, 2000)
        alarms += len(chart(series.tolist()).alarms)
        values += len(series)
    assert 600 < values / alarms < 1600


def test_few_charts_of_a_hundred_unchanged_values_are_flagged() -> None:
    rng = default_rng(1)
    flagged = sum(bool(chart(rng.beta(5, 1.5, 100).tolist()).alarms) for _ in range(300))
    assert flagged / 300 < 0.09


def shifted(rng: Generator, at: int, by: float) -> NDArray[np.float64]:
    values = rng.normal(size=at + 200)
    values[at:] -= by
    return values


def test_a_fall_by_one_standard_deviation_is_flagged_within_about_a_dozen_values() -> None:
    rng, delays = default_rng(2), []
    for _ in range(100):
        alarms = [index for index in chart(shifted(rng, 60, 1.0).tolist()).alarms if index >= 60]
        delays.append(alarms[0] - 59 if alarms else 999)
    assert np.median(delays) <= 14
    assert np.mean(np.array(delays) == 999) < 0.06


def test_the_other_direction_is_not_flagged_sooner_than_by_chance() -> None:
    rng = default_rng(3)
    rises = sum(bool(chart((-shifted(rng, 60, 2.0)).tolist(), "falls").alarms) for _ in range(50))
    falls = sum(bool(chart((-shifted(rng, 60, 2.0)).tolist(), "rises").alarms) for _ in range(50))
    assert rises < 15
    assert falls > 45


def test_equal_values_never_alarm() -> None:
    assert chart([0.0] * 500).alarms == ()


def test_the_start_of_the_change_is_named() -> None:
    rng = default_rng(4)
    series = [*rng.uniform(0.8, 0.9, 50), *rng.uniform(0.2, 0.4, 20)]
    found = chart([float(value) for value in series])
    assert found.alarms
    assert abs(found.began[0] - 50) <= 3


def test_nothing_is_flagged_before_it_has_settled() -> None:
    falling = [1.0 - 0.01 * index for index in range(DEFAULT_RULE.settle)]
    assert chart(falling).alarms == ()


def test_after_an_alarm_the_new_level_is_the_norm() -> None:
    rng = default_rng(5)
    series = [*rng.normal(0, 1, 60), *rng.normal(-4, 1, 100)]
    assert len(chart([float(value) for value in series]).alarms) == 1
