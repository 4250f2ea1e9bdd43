"""What is expected of a propagated label before anybody looks at it."""

from dataclasses import replace

import pytest

from lib.loop.expected_dice import WEIGHTS, Evidence, expected_dice

GOOD = Evidence(of_mass=True, information=0.8, inverse_error_mm=0.2, coarseness=0.15, agreement=0.95)
WORSE = {"information": 0.1, "inverse_error_mm": 4.0, "coarseness": 0.8}


@pytest.mark.parametrize("of_mass", list(WEIGHTS))
@pytest.mark.parametrize("name", list(WORSE))
def test_worse_evidence_never_raises_the_expectation(of_mass: bool, name: str) -> None:
    good = replace(GOOD, of_mass=of_mass)
    assert expected_dice(replace(good, **{name: WORSE[name]})) <= expected_dice(good)


@pytest.mark.parametrize("of_mass", list(WEIGHTS))
def test_good_evidence_is_expected_to_be_usable(of_mass: bool) -> None:
    assert expected_dice(replace(GOOD, of_mass=of_mass)) > 0.8


def test_a_tiny_mass_on_thick_slices_that_is_badly_aligned_is_not_expected_to_be_usable() -> None:
    assert expected_dice(replace(GOOD, inverse_error_mm=4.0, coarseness=0.7)) < 0.5
