"""Metrics against hand-counted cases and their symmetries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lib.domain.structures import MASS
from lib.imaging.metrics import detected, dice, false_positives, score_case

MASKS = hnp.arrays(bool, (4, 3, 3))


def bar(start: int, stop: int) -> np.ndarray:
    mask = np.zeros((10, 1, 1), bool)
    mask[start:stop] = True
    return mask


def test_dice_of_two_overlapping_bars_is_counted_by_hand() -> None:
    assert dice(bar(0, 6), bar(4, 8)) == pytest.approx(2 * 2 / (6 + 4))


def test_dice_of_two_empty_masks_is_not_a_number_to_average() -> None:
    assert dice(bar(0, 0), bar(0, 0)) is None
    assert dice(bar(0, 0), bar(0, 2)) == 0.0


@given(MASKS, MASKS)
def test_dice_is_symmetric_and_survives_a_mirror(a: np.ndarray, b: np.ndarray) -> None:
    assert dice(a, b) == dice(b, a) == dice(a[::-1], b[::-1])


@given(MASKS)
def test_a_mask_agrees_with_itself(a: np.ndarray) -> None:
    assert dice(a, a) == (1.0 if a.any() else None)


def test_masks_on_two_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="share a grid"):
        dice(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3), bool))


def test_one_voxel_of_overlap_detects_one_mass_of_two() -> None:
    reference = bar(0, 3) | bar(6, 9)
    assert detected(bar(2, 4), reference) == [True, False]


def test_only_masses_that_touch_nothing_are_false_positives() -> None:
    assert false_positives(bar(2, 4) | bar(8, 9), bar(0, 3)) == 1


def test_a_case_without_a_mass_is_neither_found_nor_missed() -> None:
    score = score_case("a", (bar(0, 2) * MASS).astype(np.uint8), np.zeros((10, 1, 1), np.uint8))
    assert score.found is None
    assert score.false_positives == 1
    assert score.dice == {"kidney": None, "mass": 0.0, "cyst": None}


@given(st.integers(0, 9))
def test_a_case_with_one_mass_is_found_where_it_is_touched(at: int) -> None:
    score = score_case("a", (bar(at, at + 1) * MASS).astype(np.uint8), (bar(3, 6) * MASS).astype(np.uint8))
    assert score.found is (3 <= at < 6)
    assert score.false_positives == int(not score.found)


def test_a_structure_that_was_not_drawn_is_not_scored() -> None:
    prediction, reference = bar(0, 4).astype(np.uint8), (bar(6, 9) * MASS).astype(np.uint8)
    assert score_case("a", prediction, reference, drawn={"mass"}).dice == {"kidney": None, "mass": 0.0, "cyst": None}
