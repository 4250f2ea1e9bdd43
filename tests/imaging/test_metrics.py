"""Metrics against hand-counted cases and their symmetries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lib.domain.structures import MASS
from lib.imaging.metrics import dice, foreground_box, score_case, score_region

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


def region(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float] = (1, 1, 1)):
    return score_region(prediction, reference, np.diag(spacing).astype(float), tolerance_mm=1.0)


def test_a_region_of_two_bars_is_measured_by_hand() -> None:
    score = region(bar(0, 6), bar(4, 8), (2.0, 1.0, 1.0))
    assert score.dice == pytest.approx(0.4)
    assert (score.predicted_ml, score.reference_ml) == pytest.approx((0.012, 0.008))
    assert score.volume_error_ml == pytest.approx(0.004)
    assert score.volume_error_relative == pytest.approx(0.5)
    # every voxel of a bar one voxel thick is surface: distances 8 6 4 2 0 0 and 0 0 2 4 mm
    assert score.surface_dice == pytest.approx(4 / 10)
    assert score.hd95_mm == pytest.approx(np.percentile([8, 6, 4, 2, 0, 0], 95))


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        (bar(0, 0), bar(0, 0), (None, None, None, 0.0, None)),
        (bar(0, 2), bar(0, 0), (0.0, 0.0, None, 0.002, None)),
        (bar(0, 0), bar(0, 2), (0.0, 0.0, None, -0.002, -1.0)),
    ],
)
def test_empty_masks_have_the_documented_scores(prediction, reference, expected) -> None:
    score = region(prediction, reference)
    measures = (score.dice, score.surface_dice, score.hd95_mm, score.volume_error_ml, score.volume_error_relative)
    assert measures == pytest.approx(expected)


def test_cropping_to_the_foreground_changes_no_score() -> None:
    rng = np.random.default_rng(0)
    prediction, reference = rng.random((2, 7, 6, 5)) > 0.6
    wide = [np.pad(mask, ((3, 9), (2, 1), (4, 4))) for mask in (prediction, reference)]
    assert region(*wide) == region(prediction, reference)


@given(MASKS)
def test_the_foreground_box_holds_all_and_no_empty_border(mask: np.ndarray) -> None:
    box = foreground_box(mask)
    assert mask[box].sum() == mask.sum()
    assert all(mask[box].any(axis=tuple({0, 1, 2} - {axis}))[[0, -1]].all() for axis in range(3) if mask.any())
