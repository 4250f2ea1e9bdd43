"""What lies at a click changes, what lies elsewhere does not, and every click holds."""

import numpy as np

from lib.domain.clicks import Click
from lib.domain.structures import CYST, KIDNEY, MASS
from lib.imaging.edits import AT_CLICK_MM, REACH_MM, held, taken_over

SPACING_MM = (2.0, 2.0, 4.0)
AT = (12, 10, 5)


def click(inside: bool = True, structure: str = "mass", at: tuple[int, int, int] = AT) -> Click:
    return Click(structure=structure, inside=inside, at=at)


def kidney() -> np.ndarray:
    label = np.zeros((48, 24, 12), np.uint8)
    label[4:44, 4:20, 2:10] = KIDNEY
    return label


def with_mass(label: np.ndarray, first: int, last: int, value: int = MASS) -> np.ndarray:
    changed = label.copy()
    changed[first:last, 8:13, 3:8] = value
    return changed


def test_only_the_region_at_the_click_is_taken_over() -> None:
    before = kidney()
    at_click, elsewhere = with_mass(before, 10, 15), with_mass(before, 30, 35)
    answer = np.maximum(at_click, elsewhere)
    np.testing.assert_array_equal(taken_over(before, answer, [click()], SPACING_MM), at_click)


def test_a_false_region_goes_and_another_stays() -> None:
    before = with_mass(with_mass(kidney(), 10, 15), 30, 35)
    after = taken_over(before, kidney(), [click(inside=False)], SPACING_MM)
    np.testing.assert_array_equal(after, with_mass(kidney(), 30, 35))


def test_a_click_for_a_mass_takes_none_of_it_and_one_against_it_adds_none() -> None:
    before = with_mass(kidney(), 10, 15)
    answer = with_mass(kidney(), 13, 18)
    grown = taken_over(before, answer, [click(at=(16, 10, 5))], SPACING_MM)
    np.testing.assert_array_equal(grown, with_mass(before, 13, 18))
    shrunk = taken_over(before, answer, [click(inside=False, at=(11, 10, 5))], SPACING_MM)
    np.testing.assert_array_equal(shrunk, with_mass(kidney(), 13, 15))


def test_a_structure_that_nobody_clicked_keeps_its_outline() -> None:
    before = kidney()
    answer = with_mass(before, 10, 15)
    answer[4:6] = 0  # the network would trim the kidney
    answer[12, 15, 5] = CYST
    np.testing.assert_array_equal(taken_over(before, answer, [click()], SPACING_MM), with_mass(before, 10, 15))


def test_nothing_changes_beyond_the_reach_of_a_click() -> None:
    before = kidney()
    answer = before.copy()
    answer[4:44, 8:13, 3:8] = MASS
    after = taken_over(before, answer, [click()], SPACING_MM)
    changed = np.argwhere(after != before)
    distances = np.linalg.norm((changed - AT) * SPACING_MM, axis=1)
    assert AT_CLICK_MM < distances.max() <= REACH_MM


def test_every_click_holds() -> None:
    label = with_mass(kidney(), 10, 15)
    clicks = [click(inside=False), click(at=(20, 10, 5)), click(structure="kidney", at=(0, 0, 0))]
    after = held(label, clicks)
    assert after[20, 10, 5] == MASS
    assert after[0, 0, 0] == KIDNEY
    assert after[AT] != MASS
    assert np.count_nonzero(after != label) == len(clicks)


def test_a_click_that_agrees_changes_nothing() -> None:
    label = with_mass(kidney(), 10, 15)
    np.testing.assert_array_equal(held(label, [click(), click(inside=False, at=(30, 10, 5))]), label)
