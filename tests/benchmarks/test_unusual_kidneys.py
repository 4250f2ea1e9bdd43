"""Phantoms whose kidneys are missing, in the pelvis or transplanted."""

import math

import pytest

from benchmarks.unusual_kidneys import KINDS, SEED, Row, line
from lib.phantom.anatomy import Anatomy
from lib.phantom.cohort import make_patient


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    people = (make_patient(SEED, number).anatomy for number in range(100))
    return next(
        one for one in people if len(one.kidneys) == 2 and {lesion.side for lesion in one.lesions} == {"right", "left"}
    )


def test_a_single_kidney_is_the_right_one_with_its_own_lesions(anatomy: Anatomy) -> None:
    made = KINDS["single"](anatomy)
    assert [kidney.side for kidney in made.kidneys] == ["right"]
    assert made.lesions == tuple(lesion for lesion in anatomy.lesions if lesion.side == "right")


def test_a_pelvic_kidney_takes_its_lesions_with_it(anatomy: Anatomy) -> None:
    made = KINDS["pelvic"](anatomy)
    before, after = ({kidney.side: kidney for kidney in one.kidneys} for one in (anatomy, made))
    assert after["right"] == before["right"]
    assert after["left"].centre_ras[2] < -100
    assert len(made.lesions) == len(anatomy.lesions)
    distances = [
        sorted(
            math.dist(lesion.centre_ras, kidneys["left"].centre_ras) for lesion in one.lesions if lesion.side == "left"
        )
        for one, kidneys in ((anatomy, before), (made, after))
    ]
    assert distances[0] == pytest.approx(distances[1])


def test_a_transplant_is_a_third_kidney_and_the_others_have_shrunk(anatomy: Anatomy) -> None:
    made = KINDS["transplant"](anatomy)
    *own, transplanted = made.kidneys
    assert [max(kidney.radii_mm) for kidney in own] == [max(kidney.radii_mm) / 2 for kidney in anatomy.kidneys]
    assert max(transplanted.radii_mm) == max(anatomy.kidneys[0].radii_mm)
    assert transplanted.centre_ras[2] < -100


def test_no_kidneys_and_nothing_on_them(anatomy: Anatomy) -> None:
    made = KINDS["none"](anatomy)
    assert (made.kidneys, made.lesions) == ((), ())
    assert KINDS["both"](anatomy) == anatomy


def test_the_table_counts_kidneys_and_masses() -> None:
    good = Row(kidneys=2, boxes=2, everywhere=False, outlined=2, proposed_ml=300, mass_found=True, false_masses=0)
    poor = Row(kidneys=2, boxes=1, everywhere=True, outlined=1, proposed_ml=100, mass_found=False, false_masses=3)
    assert line("NP", "pelvic", [good, poor]) == "| NP | pelvic | 1.5 | 1 of 2 | 3 of 4 | 200 | 1 of 2 | 1.5 |"
