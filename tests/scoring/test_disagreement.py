from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from lib.domain.structures import KIDNEY, MASS
from lib.imaging.volume import Volume
from lib.scoring.disagreement import disagreement


def proposal(*, mass_at: int | None = 20, shift_mm: float = 0.0, length: int = 60, step_mm: float = 2.0) -> Volume:
    """A bar of kidney of 100 mm, with or without a mass of 16 mm somewhere in it."""
    data = np.zeros((length, 20, 20), np.uint8)
    data[5:55, 5:15, 5:15] = KIDNEY
    if mass_at is not None:
        data[mass_at : mass_at + 8, 6:14, 6:14] = MASS
    affine = np.diag([step_mm, step_mm, step_mm, 1.0])
    affine[2, 3] = shift_mm
    return Volume(data=data, affine=affine)


def test_equal_proposals_agree_also_a_breath_apart_and_in_another_orientation() -> None:
    here, moved = proposal(), proposal(shift_mm=8)
    turned = nib.as_closest_canonical(nib.Nifti1Image(here.data[::-1], here.affine @ flip(60)))
    other = Volume(data=np.asarray(turned.dataobj), affine=turned.affine)
    found = disagreement({"CP": here, "NP": moved, "DP": other})
    assert found == {name: {"mass": 0.0, "kidney": 0.0} for name in ("CP", "NP", "DP")}


def flip(length: int) -> np.ndarray:
    matrix = np.diag([-1.0, 1, 1, 1])
    matrix[0, 3] = length - 1
    return matrix


def test_a_mass_that_one_sequence_alone_shows_is_a_contradiction_of_which_that_one_has_most() -> None:
    found = disagreement({"CP": proposal(), "NP": proposal(mass_at=None), "DP": proposal(mass_at=None)})
    assert found["CP"] == {"mass": 1.0, "kidney": 0.0}
    assert found["NP"]["mass"] == found["DP"]["mass"] == 0.5


def test_masses_in_different_places_contradict_each_other() -> None:
    found = disagreement({"CP": proposal(mass_at=8), "NP": proposal(mass_at=40)})
    assert found["CP"]["mass"] == found["NP"]["mass"] == pytest.approx(1.0)


def test_what_lies_outside_the_other_field_of_view_is_no_contradiction() -> None:
    short = proposal(mass_at=None, length=60)
    cut = Volume(data=short.data[:30].copy(), affine=short.affine)
    assert disagreement({"CP": proposal(mass_at=40), "NP": cut})["CP"] == {"mass": 0.0, "kidney": 0.0}


def test_one_image_alone_has_nothing_to_contradict() -> None:
    assert disagreement({"CP": proposal()}) == {"CP": {}}
    assert disagreement({}) == {}


def test_proposals_without_anything_agree() -> None:
    nothing = Volume(data=np.zeros((4, 4, 4), np.uint8), affine=np.eye(4))
    assert disagreement({"CP": nothing, "NP": nothing}) == {"CP": {}, "NP": {}}
