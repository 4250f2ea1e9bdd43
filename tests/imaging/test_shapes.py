"""Labels carried between grids as signed distances."""

import numpy as np
import pytest

from lib.domain.structures import KIDNEY, MASS
from lib.imaging.metrics import dice
from lib.imaging.shapes import FAR_MM, VALUES, box_around, carry, label_of, signed_distance_mm
from lib.imaging.volume import Grid, Volume

THICK = np.diag([1.5, 1.5, 6.0, 1.0])
FINE = np.diag([1.5, 1.5, 1.5, 1.0])
RADIUS_MM = 13.0


def ball(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """A kidney with a mass in its middle, around (36, 36, 36) mm."""
    points = np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    away = np.linalg.norm(points - 36, axis=1).reshape(shape)
    return np.where(away < RADIUS_MM, MASS, np.where(away < 28, KIDNEY, 0)).astype(np.uint8)


def carried(label: Volume, onto: Grid, matrix: np.ndarray) -> np.ndarray:
    into = np.full((len(VALUES), *onto.shape), -FAR_MM, np.float32)
    carry(label, label.data > 0, matrix, onto, into)
    return label_of(into)


def test_thick_slices_carried_onto_thin_ones_are_rounder_than_the_nearest_slice() -> None:
    label = Volume(data=ball(THICK, (48, 48, 13)), affine=THICK)
    truth = ball(FINE, (48, 48, 48))
    nearest = label.data[:, :, np.rint(np.arange(48) / 4).astype(int)]
    smooth = carried(label, Grid(shape=(48, 48, 48), affine=FINE), np.eye(4))
    rough_dice, smooth_dice = dice(nearest == MASS, truth == MASS), dice(smooth == MASS, truth == MASS)
    assert smooth_dice is not None
    assert rough_dice is not None
    assert smooth_dice > max(0.93, rough_dice)


def test_a_label_carried_onto_its_own_grid_is_unchanged() -> None:
    label = Volume(data=ball(THICK, (48, 48, 13)), affine=THICK)
    assert np.array_equal(carried(label, Grid(shape=label.shape, affine=THICK), np.eye(4)), label.data)


def test_a_shift_by_whole_voxels_moves_the_label_by_them() -> None:
    label = Volume(data=ball(FINE, (48, 48, 48)), affine=FINE)
    shift = np.eye(4)
    shift[:3, 3] = (3.0, 0, -4.5)
    found = carried(label, Grid(shape=label.shape, affine=FINE), shift)
    assert np.array_equal(found, np.roll(label.data, (2, 0, -3), axis=(0, 1, 2)))


def test_a_label_that_lands_outside_leaves_the_grid_empty() -> None:
    label = Volume(data=ball(FINE, (48, 48, 48)), affine=FINE)
    far = np.eye(4)
    far[0, 3] = 500
    assert not carried(label, Grid(shape=label.shape, affine=FINE), far).any()


def test_touching_structures_leave_no_gap() -> None:
    label = Volume(data=ball(THICK, (48, 48, 13)), affine=THICK)
    half = np.eye(4)
    half[:3, 3] = 0.7
    found = carried(label, Grid(shape=(48, 48, 48), affine=FINE), half)
    assert (found[24, 24, 8:41] > 0).all()


@pytest.mark.parametrize("mask", [np.zeros((3, 3, 3), bool), np.ones((3, 3, 3), bool)])
def test_distances_end_far_away(mask: np.ndarray) -> None:
    distance = signed_distance_mm(mask, (1.0, 1.0, 1.0))
    assert (np.abs(distance) <= FAR_MM).all()
    assert (distance > 0).all() == mask.all()


def test_a_box_stays_within_the_grid() -> None:
    mask = np.zeros((10, 10, 4), bool)
    mask[1, 5, 2] = True
    assert box_around(mask, (1.0, 2.0, 6.0), 6.0) == (slice(0, 8), slice(2, 9), slice(1, 4))
