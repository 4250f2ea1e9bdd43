"""What is expected of a propagated label before anybody looks at it."""

from dataclasses import replace

import pytest

from lib.loop.expected_dice import WEIGHTS, Evidence, expected_dice

GOOD = Evidence(of_mass=True, information=0.8, inverse_error_mm=0.2, coarseness=0.15, agreement=0.95)
WORSE = {"information": 0.1, "inverse_error_mm": 4.0, "coarseness": 0.8, "agreement": 0.3}


@pytest.mark.parametrize("of_mass", [True, False])
@pytest.mark.parametrize(
    ("agreement", "name"), [*((0.95, name) for name in WORSE), *((None, name) for name in WORSE if name != "agreement")]
)
def test_worse_evidence_never_raises_the_expectation(of_mass: bool, agreement: float | None, name: str) -> None:
    good = replace(GOOD, of_mass=of_mass, agreement=agreement)
    assert expected_dice(replace(good, **{name: WORSE[name]})) <= expected_dice(good)


@pytest.mark.parametrize(("of_mass", "with_network"), list(WEIGHTS))
def test_everything_bad_is_not_expected_to_be_usable(of_mass: bool, with_network: bool) -> None:
    bad = Evidence(
        of_mass=of_mass, information=0.05, inverse_error_mm=9, coarseness=2, agreement=0.0 if with_network else None
    )
    assert expected_dice(bad) < 0.5
