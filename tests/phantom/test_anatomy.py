"""Descriptions of patients: plausible, varied, and what they promise."""

import math
from collections import Counter

import numpy as np
import pytest

from lib.domain.records import SMALL_MASS_MM
from lib.phantom.anatomy import KIDNEY_STATES, MIN_MASS_MM, Anatomy, draw_anatomy
from lib.phantom.tissues import HISTOLOGIES


@pytest.fixture(scope="module")
def many() -> list[Anatomy]:
    return [draw_anatomy(np.random.default_rng([5, number, 0])) for number in range(200)]


def test_the_same_stream_describes_the_same_patient() -> None:
    assert draw_anatomy(np.random.default_rng(3)) == draw_anatomy(np.random.default_rng(3))
    assert draw_anatomy(np.random.default_rng(3)) != draw_anatomy(np.random.default_rng(4))


def test_masses_are_small_renal_masses(many: list[Anatomy]) -> None:
    sizes = [mass.size_mm for patient in many for mass in patient.masses]
    assert min(sizes) >= MIN_MASS_MM
    assert max(sizes) <= SMALL_MASS_MM
    assert 20 < np.median(sizes) < 28


def test_most_but_not_all_patients_have_a_mass(many: list[Anatomy]) -> None:
    share = np.mean([bool(patient.masses) for patient in many])
    assert 0.78 < share < 0.92


def test_every_state_of_a_kidney_and_every_histology_appears(many: list[Anatomy]) -> None:
    states = {kidney.state for patient in many for kidney in patient.kidneys}
    assert states == KIDNEY_STATES.keys() - {"absent"}
    assert {mass.tissue for patient in many for mass in patient.masses} == HISTOLOGIES.keys()


def test_some_patients_have_one_kidney_and_none_has_no_kidney(many: list[Anatomy]) -> None:
    assert Counter(len(patient.kidneys) for patient in many).keys() == {1, 2}


def test_lesions_belong_to_a_kidney_that_is_there(many: list[Anatomy]) -> None:
    for patient in many:
        sides = {kidney.side for kidney in patient.kidneys}
        assert {lesion.side for lesion in patient.lesions} <= sides


def test_lesions_of_one_patient_do_not_touch(many: list[Anatomy]) -> None:
    for patient in many:
        for one, other in zip(patient.lesions, patient.lesions[1:], strict=False):
            assert math.dist(one.centre_ras, other.centre_ras) > (one.size_mm + other.size_mm) / 2


def test_masses_reach_from_endophytic_to_exophytic(many: list[Anatomy]) -> None:
    outward = [mass.outward for patient in many for mass in patient.masses]
    assert min(outward) < -0.6
    assert max(outward) > 0.5


def test_the_right_kidney_lies_on_the_right(many: list[Anatomy]) -> None:
    for patient in many:
        for kidney in patient.kidneys:
            assert (kidney.centre_ras[0] > 0) == (kidney.side == "right")
