"""A patient stays on one side for ever."""

from collections import Counter

import pytest

from lib.loop.splits import HOLDOUT_SHARE, VALIDATION_SHARE, side_of


def test_shares_are_what_they_say() -> None:
    sides = Counter(side_of(f"P{number}") for number in range(20_000))
    assert sides["holdout"] / 20_000 == pytest.approx(HOLDOUT_SHARE, abs=0.01)
    assert sides["validation"] / 20_000 == pytest.approx(VALIDATION_SHARE, abs=0.01)


def test_the_side_of_known_patients_never_changes_between_versions() -> None:
    seen = [side_of(f"P{number:03}") for number in range(6)]
    assert seen == ["validation", "holdout", "holdout", "train", "train", "holdout"]


def test_another_salt_draws_again() -> None:
    ids = [f"P{number}" for number in range(200)]
    assert [side_of(one, "a") for one in ids] != [side_of(one, "b") for one in ids]
