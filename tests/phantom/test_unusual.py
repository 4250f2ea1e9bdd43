"""Phantoms whose kidneys are missing, in the pelvis or transplanted."""

import math
from pathlib import Path

import numpy as np
import pytest

from lib.domain.errors import BadCohortError
from lib.phantom.anatomy import Anatomy, draw_anatomy
from lib.phantom.cohort import SMALL_SIZE, generate_cohort, make_case, make_patient
from lib.phantom.unusual import UNUSUAL, draw_unusual


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    people = (make_patient(900_003, number).anatomy for number in range(100))
    return next(
        one for one in people if len(one.kidneys) == 2 and {lesion.side for lesion in one.lesions} == {"right", "left"}
    )


def test_a_single_kidney_is_the_right_one_with_its_own_lesions(anatomy: Anatomy) -> None:
    made = UNUSUAL["single"](anatomy)
    assert [kidney.side for kidney in made.kidneys] == ["right"]
    assert made.lesions == tuple(lesion for lesion in anatomy.lesions if lesion.side == "right")


def test_a_pelvic_kidney_takes_its_lesions_with_it(anatomy: Anatomy) -> None:
    made = UNUSUAL["pelvic"](anatomy)
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
    made = UNUSUAL["transplant"](anatomy)
    *own, transplanted = made.kidneys
    assert [max(kidney.radii_mm) for kidney in own] == [max(kidney.radii_mm) / 2 for kidney in anatomy.kidneys]
    assert max(transplanted.radii_mm) == max(anatomy.kidneys[0].radii_mm)
    assert transplanted.centre_ras[2] < -100


def test_no_kidneys_and_nothing_on_them(anatomy: Anatomy) -> None:
    made = UNUSUAL["none"](anatomy)
    assert (made.kidneys, made.lesions) == ((), ())


def test_a_share_of_the_patients_is_unusual_in_every_way_and_the_others_are_as_before() -> None:
    before = [make_patient(1, number).anatomy for number in range(150)]
    after = [make_patient(1, number, unusual=0.3).anatomy for number in range(150)]
    changed = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    assert 30 < len(changed) < 60
    for kind in UNUSUAL.values():
        assert sum(kind(one) == other for one, other in changed) > 3


def test_who_lacks_a_kidney_already_stays_as_they_are() -> None:
    drawn = (draw_anatomy(np.random.default_rng([5, number])) for number in range(150))
    lacking = [anatomy for anatomy in drawn if len(anatomy.kidneys) < 2]
    assert lacking
    assert all(draw_unusual(np.random.default_rng(0), anatomy, 1.0) == anatomy for anatomy in lacking)


@pytest.mark.parametrize("code", ["T2WI", "NP"])
def test_an_image_shows_kidneys_as_low_as_the_pelvis(code: str) -> None:
    low = [number for number in range(30) if _lowest(make_patient(1, number, unusual=1.0).anatomy) < -100]
    cases = [make_case(1, number, code, size=SMALL_SIZE, unusual=1.0) for number in low[:6]]
    for case in cases:
        axis = int(np.argmax(np.abs(case.label.affine[2, :3])))  # along the body
        filled = np.asarray(case.label.data).any(axis=tuple(other for other in range(3) if other != axis))
        if axis == 2:  # a coronal image may end above the lower pole
            assert filled[[0, -1]].sum() == 0
        ml = np.count_nonzero(case.label.data) * np.prod(case.label.spacing_mm) / 1000
        assert ml > 130  # a kidney in its place and one in the pelvis, or a transplant


def _lowest(anatomy: Anatomy) -> float:
    return min((kidney.centre_ras[2] for kidney in anatomy.kidneys), default=0.0)


def test_a_patient_without_kidneys_has_an_image_and_an_empty_label() -> None:
    number = next(number for number in range(40) if not make_patient(1, number, unusual=1.0).anatomy.kidneys)
    case = make_case(1, number, "NP", size=SMALL_SIZE, unusual=1.0)
    assert not np.asarray(case.label.data).any()
    assert np.asarray(case.image.data).std() > 10
    assert case.record.clinical["mass_count"] == "0"


def test_a_share_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCohortError, match=r"a share of 1\.5 .* expected a number from 0 to 1"):
        generate_cohort(tmp_path / "c", patients=1, seed=0, unusual=1.5)
