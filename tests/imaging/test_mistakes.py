"""A reader clicks first into the middle of the largest region that is wrong."""

import numpy as np

from lib.imaging.mistakes import mistakes

SPACING_MM = (1.0, 1.0, 1.0)


def box(*spans: tuple[int, int], shape: tuple[int, int, int] = (20, 20, 10)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*span) for span in spans)] = True
    return mask


def test_the_largest_mistake_comes_first_and_is_clicked_in_its_middle() -> None:
    missing, false = box((1, 4), (1, 4), (1, 4)), box((10, 17), (10, 17), (2, 9))
    first, second = mistakes(false, missing, SPACING_MM, most=5)
    assert (first.missing, first.voxels, first.centre) == (False, 7**3, (13, 13, 5))
    assert (second.missing, second.voxels, second.centre) == (True, 27, (2, 2, 2))


def test_a_click_always_lies_in_the_region_that_is_wrong() -> None:
    ring = box((4, 15), (4, 15), (2, 8)) & ~box((6, 13), (6, 13), (0, 10))
    (found,) = mistakes(np.zeros_like(ring), ring, SPACING_MM)
    assert ring[found.centre]


def test_a_mask_without_mistakes_has_none() -> None:
    mask = box((4, 15), (4, 15), (2, 8))
    assert mistakes(mask, mask, SPACING_MM) == []
