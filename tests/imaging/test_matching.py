"""Each criterion finds the masses it should, whatever the order or side."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lib.domain.criteria import CRITERIA
from lib.imaging.matching import match_masses

MASKS = hnp.arrays(bool, (6, 4, 3))


def bars(*spans: tuple[int, int], length: int = 40) -> np.ndarray:
    mask = np.zeros((length, 1, 1), bool)
    for start, stop in spans:
        mask[start:stop] = True
    return mask


@pytest.mark.parametrize(
    ("predicted", "found"),
    [
        ((9, 11), {"overlap": True, "iou": False, "centre": True}),  # on the border of two voxels is in both
        ((10, 11), {"overlap": True, "iou": True, "centre": True}),  # 1 of 10
        ((0, 11), {"overlap": True, "iou": False, "centre": False}),
        ((0, 30), {"overlap": True, "iou": True, "centre": True}),
        ((20, 25), {"overlap": False, "iou": False, "centre": False}),
    ],
)
def test_the_criteria_differ_as_defined(predicted: tuple[int, int], found: dict[str, bool]) -> None:
    match = match_masses(bars(predicted), bars((10, 20)))
    assert {name: match.found(name) == [True] for name in CRITERIA} == found
    assert {name: match.false_positives(name) == 0 for name in CRITERIA} == found


def test_the_threshold_of_the_intersection_over_union_belongs_to_found() -> None:
    assert match_masses(bars((0, 10)), bars((0, 1))).found("iou") == [True]  # 1 of 10
    assert match_masses(bars((0, 11)), bars((0, 1))).found("iou") == [False]


def test_one_voxel_of_overlap_detects_one_mass_of_two() -> None:
    assert match_masses(bars((2, 4)), bars((0, 3), (6, 8))).found("overlap") == [True, False]


def test_only_masses_that_touch_nothing_are_false_positives() -> None:
    assert match_masses(bars((2, 4), (8, 9)), bars((0, 3))).false_positives("overlap") == 1


def test_a_predicted_mass_over_two_counts_for_the_one_it_overlaps_most() -> None:
    match = match_masses(bars((0, 14)), bars((0, 4), (6, 14)))
    assert match.reference_voxels == (8, 4)
    assert match.dice == pytest.approx((2 * 8 / (8 + 14), 0.0))
    assert match.found("overlap") == [True, True]


def test_pieces_of_one_mass_are_taken_together() -> None:
    assert match_masses(bars((0, 4), (6, 10)), bars((0, 10))).dice == pytest.approx((2 * 8 / (10 + 8),))


@given(MASKS, MASKS, st.sampled_from([0, 1, 2]))
def test_a_mirror_image_finds_as_many(prediction: np.ndarray, reference: np.ndarray, axis: int) -> None:
    here, there = (
        match_masses(*pair) for pair in [(prediction, reference), np.flip([prediction, reference], axis + 1)]
    )
    for name in CRITERIA:
        assert sorted(here.found(name)) == sorted(there.found(name))
        assert here.false_positives(name) == there.false_positives(name)


@given(MASKS, MASKS)
def test_swapping_the_labels_swaps_misses_and_false_positives(prediction: np.ndarray, reference: np.ndarray) -> None:
    here, there = match_masses(prediction, reference), match_masses(reference, prediction)
    for name in ("overlap", "iou"):
        assert here.false_positives(name) == there.found(name).count(False)


@given(MASKS)
def test_a_mask_finds_itself(mask: np.ndarray) -> None:
    match = match_masses(mask, mask)
    assert match.dice == pytest.approx([1.0] * len(match.reference_voxels))
    for name in ("overlap", "iou"):
        assert all(match.found(name))


def test_masks_on_two_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="share a grid"):
        match_masses(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3), bool))
