"""Alignment of one region between two images, on bodies made in memory whose motion is known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lib.domain.errors import RegistrationError
from lib.imaging import registration
from lib.imaging.registration import align, share_inside, voxel_centres_ras
from lib.imaging.volume import Volume

AXIAL = np.array([[2.5, 0, 0, -60], [0, 2.5, 0, -50], [0, 0, 4, -56], [0, 0, 0, 1.0]])
CORONAL = np.array([[-2.2, 0, 0, 62], [0, 0, 5, -50], [0, -2.2, 0, 60], [0, 0, 0, 1.0]])
SHAPES = {"axial": (49, 41, 29), "coronal": (57, 55, 21)}
AFFINES = {"axial": AXIAL, "coronal": CORONAL}
TRUE_MM = (2.0, -3.0, 8.0)


def picture(
    view: str, moved_mm: tuple[float, float, float] = (0, 0, 0), signal: tuple[float, ...] = (40, 100, 170, 240)
) -> tuple[Volume, NDArray[np.bool_]]:
    """A bent kidney with a bright pole and a mass, in a body that stays where it is; and where the kidney is."""
    shape, affine = SHAPES[view], AFFINES[view]
    points = np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    x, y, z = (points - moved_mm).T
    kidney = (((x - (z / 12) ** 2) / 19) ** 2 + (y / 15) ** 2 + (z / 34) ** 2) < 1
    pole = kidney & (z > 14)
    mass = (x - 16) ** 2 + (y + 6) ** 2 + (z + 8) ** 2 < 11**2
    body = (points[:, 0] / 55) ** 2 + (points[:, 1] / 45) ** 2 < 1
    data = signal[0] * body
    for where, value in ((kidney, signal[1]), (pole, signal[2]), (mass, signal[3])):
        data = np.where(where, value, data)
    noisy = data.reshape(shape) + np.random.default_rng(len(view)).normal(0, 4, shape)
    return Volume(data=noisy.astype(np.float32), affine=affine), (kidney | mass).reshape(shape)


@pytest.mark.parametrize("view", list(SHAPES))
def test_a_breath_is_found_across_contrast_orientation_and_spacing(view: str) -> None:
    source, region = picture("axial")
    target, _ = picture(view, TRUE_MM, signal=(120, 30, 200, 60))
    found = align(source, region, target)
    assert np.linalg.norm(np.subtract(found.shift_mm, TRUE_MM)) < 1.5
    assert found.inverse_error_mm < 1.5
    np.testing.assert_allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-6)


def test_the_same_images_give_the_same_numbers() -> None:
    source, region = picture("axial")
    target, _ = picture("axial", TRUE_MM)
    first, second = (align(source, region, target) for _ in range(2))
    assert np.array_equal(first.matrix, second.matrix)
    assert first.information == second.information


def test_images_that_share_nothing_are_refused_or_have_less_information() -> None:
    source, region = picture("axial")
    target, _ = picture("axial", TRUE_MM)
    noise = Volume(data=np.random.default_rng(1).normal(100, 9, target.shape).astype(np.float32), affine=AXIAL)
    try:
        information = align(source, region, noise).information
    except RegistrationError:
        information = 0.0
    assert information < 0.5 * align(source, region, target).information


@pytest.mark.parametrize(("turn_deg", "shift_mm"), [(20.0, (0, 0, 0)), (0.0, (0, 0, 30)), (0.0, (16, 0, 0))])
def test_a_motion_that_no_breath_makes_is_refused(
    monkeypatch: pytest.MonkeyPatch, turn_deg: float, shift_mm: tuple[float, float, float]
) -> None:
    found = np.eye(4)
    found[:3, :3] = Rotation.from_euler("z", turn_deg, degrees=True).as_matrix()
    found[:3, 3] = shift_mm
    monkeypatch.setattr(registration, "_way_there", lambda *_: (found, 0.8))
    monkeypatch.setattr(registration, "_way_back", lambda *_: np.linalg.inv(found))
    source, region = picture("axial")
    with pytest.raises(RegistrationError, match="expected at most"):
        align(source, region, source)


def test_ways_that_end_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    back = np.eye(4)
    back[2, 3] = 7
    monkeypatch.setattr(registration, "_way_there", lambda *_: (np.eye(4), 0.8))
    monkeypatch.setattr(registration, "_way_back", lambda *_: back)
    source, region = picture("axial")
    with pytest.raises(RegistrationError, match=r"end 7\.0 mm apart; expected at most 5 mm"):
        align(source, region, source)


def test_a_target_elsewhere_is_refused() -> None:
    source, region = picture("axial")
    target = Volume(data=source.data, affine=np.array([*AXIAL[:2], AXIAL[2] + [0, 0, 0, 90], AXIAL[3]]))
    with pytest.raises(
        RegistrationError, match="% of the region lies in the target's field of view; expected at least"
    ):
        align(source, region, target)


def test_a_target_without_contrast_is_refused() -> None:
    source, region = picture("axial")
    with pytest.raises(RegistrationError, match="nats of information there; expected at least"):
        align(source, region, Volume(data=np.full(source.shape, 7, np.float32), affine=AXIAL))


def test_half_of_a_row_outside_is_half_inside() -> None:
    mask = np.ones((4, 1, 1), bool)
    points = voxel_centres_ras(mask, np.eye(4))
    assert share_inside(points, Volume(data=np.zeros((2, 3, 3)), affine=np.eye(4))) == 0.5
