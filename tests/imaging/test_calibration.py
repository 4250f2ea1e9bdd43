"""A restated probability comes true as often as it says."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lib.imaging.calibration import Scaling, fit_scaling, reliability


@pytest.fixture
def overconfident() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Stated probabilities whose log-odds are twice what they should be, and what came true."""
    rng = np.random.default_rng(1)
    honest = rng.uniform(0.05, 0.95, 40_000)
    return Scaling(slope=2.0)(honest), rng.random(len(honest)) < honest


def test_scaling_takes_the_overconfidence_away(overconfident) -> None:
    stated, truth = overconfident
    scaling = fit_scaling(stated, truth, images=500)
    assert scaling.slope == pytest.approx(0.5, abs=0.04)
    assert reliability(stated, truth).error > 0.08
    assert reliability(scaling(stated), truth).error < 0.01


def test_what_already_comes_true_is_left_nearly_alone(overconfident) -> None:
    stated, truth = overconfident
    restated = Scaling(slope=0.5)(stated)
    scaling = fit_scaling(restated, truth, images=500)
    assert np.abs(scaling(restated) - restated).max() < 0.02


def test_fewer_images_change_the_probability_less(overconfident) -> None:
    stated, truth = overconfident
    few, many = (fit_scaling(stated, truth, images=count) for count in (1, 100))
    assert abs(few.slope - 1) < abs(many.slope - 1)


def test_more_probable_stays_more_probable() -> None:
    stated = np.linspace(0, 1, 50)
    rng = np.random.default_rng(0)
    backwards = fit_scaling(stated, rng.random(50) > stated, images=10)
    assert (np.diff(backwards(stated)) >= 0).all()


def test_without_a_voxel_of_the_structure_nothing_is_changed() -> None:
    assert fit_scaling(np.full(9, 0.3), np.zeros(9, bool), images=9) == Scaling()


def test_the_error_is_the_mean_distance_of_stated_and_true() -> None:
    table = reliability(np.array([0.05, 0.05, 0.95, 0.95]), np.array([False, False, True, False]))
    assert table.error == pytest.approx((2 * 0.05 + 2 * 0.45) / 4)
    assert table.voxels.tolist() == [2, *[0] * 8, 2]
