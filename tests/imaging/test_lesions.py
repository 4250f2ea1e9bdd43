"""Masses are measured in patient space, whatever the grid."""

import numpy as np
import pytest

from lib.domain.structures import KIDNEY, MASS
from lib.imaging.lesions import components, measure_masses, short_axis_mm
from lib.imaging.volume import Volume

SHAPE = (80, 60, 30)
SPACING_MM = (1.5, 1.5, 3.0)


def ball(centre: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    grid = np.indices(SHAPE).transpose(1, 2, 3, 0) * SPACING_MM
    return ((grid - centre) ** 2).sum(axis=-1) <= radius_mm**2


def label(*balls: tuple[int, np.ndarray], flip: bool = False) -> Volume:
    data = np.zeros(SHAPE, np.uint8)
    for value, mask in balls:
        data[mask] = value
    affine = np.diag([*SPACING_MM, 1.0])
    if flip:
        affine[0, 0] *= -1
    return Volume(data=data, affine=affine)


@pytest.mark.parametrize("radius_mm", [5.0, 10.0, 19.0])
def test_a_ball_has_its_volume_and_diameter(radius_mm: float) -> None:
    (mass,) = measure_masses(label((MASS, ball((60, 45, 45), radius_mm))))
    assert mass.volume_ml == pytest.approx(4 / 3 * np.pi * radius_mm**3 / 1000, rel=0.06)
    assert mass.diameter_mm == pytest.approx(2 * radius_mm, abs=3.0)


def test_forty_millimetres_is_the_border_of_small() -> None:
    small, large = (measure_masses(label((MASS, ball((60, 45, 45), r))))[0] for r in (15.0, 23.0))
    assert small.small
    assert not large.small


@pytest.mark.parametrize("flip", [False, True])
def test_the_side_follows_the_affine_not_the_axis(flip: bool) -> None:
    kidneys = ball((25, 45, 45), 12) | ball((95, 45, 45), 12)
    masses = measure_masses(label((KIDNEY, kidneys), (MASS, ball((95, 45, 45), 8)), flip=flip))
    assert [mass.side for mass in masses] == ["left" if flip else "right"]


def test_masses_come_largest_first_with_their_centres() -> None:
    masses = measure_masses(label((MASS, ball((30, 45, 45), 6)), (MASS, ball((90, 45, 45), 10))))
    assert [round(mass.centre_ras[0]) for mass in masses] == [90, 30]


def test_each_mass_of_a_proposal_has_its_own_mean_probability() -> None:
    small, large = ball((30, 45, 45), 6), ball((90, 45, 45), 10)
    certainty = np.where(small, 0.5, np.where(large, 0.875, 0)).astype(np.float16)
    masses = measure_masses(label((MASS, small), (MASS, large)), certainty)
    assert [mass.confidence for mass in masses] == [0.875, 0.5]
    assert measure_masses(label((MASS, small)))[0].confidence is None


def test_no_mass_measures_nothing() -> None:
    assert measure_masses(label((KIDNEY, ball((30, 45, 45), 6)))) == []


def test_a_mass_of_one_voxel_is_measured() -> None:
    data = np.zeros(SHAPE, np.uint8)
    data[3, 3, 3] = MASS
    (mass,) = measure_masses(Volume(data=data, affine=np.diag([*SPACING_MM, 1.0])))
    assert mass.volume_ml == pytest.approx(np.prod(SPACING_MM) / 1000)


def test_voxels_that_touch_at_a_corner_are_one_component() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert components(mask)[1] == 1


def test_a_flat_mask_is_refused() -> None:
    with pytest.raises(ValueError, match=r"axes \(i, j, k\)"):
        components(np.zeros((3, 3), bool))


@pytest.mark.parametrize("degrees", [0, 35])
def test_the_short_axis_of_an_ellipsoid_is_its_middle_one(degrees: float) -> None:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    grid = np.indices(SHAPE).transpose(1, 2, 3, 0) * SPACING_MM - (60, 45, 45)
    turned = grid @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    mask = ((turned / (24, 9, 15)) ** 2).sum(axis=-1) <= 1
    assert short_axis_mm(mask, np.diag(SPACING_MM)) == pytest.approx(30, abs=3)


def test_a_row_of_voxels_is_one_voxel_wide() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[5:12, 4, 4] = True
    edge = np.prod(SPACING_MM) ** (1 / 3)
    assert short_axis_mm(mask, np.diag(SPACING_MM)) == pytest.approx(edge)
    assert short_axis_mm(mask & (np.arange(SHAPE[0]) == 5)[:, None, None], np.diag(SPACING_MM)) == pytest.approx(edge)


def test_no_mass_has_no_short_axis() -> None:
    with pytest.raises(ValueError, match="empty"):
        short_axis_mm(np.zeros(SHAPE, bool), np.diag(SPACING_MM))
