"""Grids: 48 orientations are exact, resampling keeps voxel centres, a label on another grid is refused."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.domain.errors import GeometryError
from lib.imaging.geometry import check_same_grid, from_canonical, resample, resample_onto, to_canonical
from lib.imaging.volume import Volume

ORIENTATIONS = [
    "".join(axes[s] for axes, s in zip(order, signs, strict=True))
    for order in itertools.permutations(("RL", "AP", "SI"))
    for signs in itertools.product((0, 1), repeat=3)
]


def oriented(volume: Volume, codes: str) -> Volume:
    here = nib.io_orientation(volume.affine)
    change = nib.orientations.ornt_transform(here, nib.orientations.axcodes2ornt(codes))
    affine = volume.affine @ nib.orientations.inv_ornt_aff(change, volume.shape)
    return Volume(data=nib.apply_orientation(volume.data, change), affine=affine)


@pytest.fixture
def oblique() -> Volume:
    angle = np.deg2rad(17)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.2, 1.4, 4.0])
    affine[:3, 3] = (-30, 12, 700)
    return Volume(data=np.random.default_rng(1).normal(size=(7, 6, 5)), affine=affine)


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_has_one_canonical_form_and_returns_exactly(oblique: Volume, codes: str) -> None:
    turned = oriented(oblique, codes)
    canonical = to_canonical(turned)
    np.testing.assert_array_equal(canonical.data, oblique.data)
    np.testing.assert_allclose(canonical.affine, oblique.affine, atol=1e-9)
    np.testing.assert_array_equal(from_canonical(canonical.data, turned), turned.data)


def test_resampling_to_the_same_spacing_changes_nothing(oblique: Volume) -> None:
    again = resample(oblique, oblique.spacing_mm)
    np.testing.assert_allclose(again.data, oblique.data, atol=1e-9)
    np.testing.assert_allclose(again.affine, oblique.affine, atol=1e-9)


@given(st.tuples(*[st.floats(0.7, 6.0)] * 3))
def test_a_resampled_ramp_stays_where_it_was(spacing_mm: tuple[float, float, float]) -> None:
    """Each voxel of a ramp holds its own position; after resampling it still does, inside the old grid."""
    affine = np.diag([1.5, 2.0, 4.0, 1.0])
    affine[:3, 3] = (-10, 5, 30)
    i, j, k = np.indices((12, 10, 8))
    volume = Volume(data=np.stack([i, j, k])[0] * 1.5 + j * 2.0 + k * 4.0, affine=affine)
    new = resample(volume, spacing_mm)
    a, b, c = (np.indices(new.shape).reshape(3, -1).T @ new.affine[:3, :3].T + new.affine[:3, 3] - affine[:3, 3]).T
    inside = (a >= 0) & (a <= 16.5) & (b >= 0) & (b <= 18) & (c >= 0) & (c <= 28)
    np.testing.assert_allclose(new.data.ravel()[inside], (a + b + c)[inside], atol=1e-6)


@pytest.mark.parametrize("codes", ORIENTATIONS[::5])
def test_a_label_on_a_turned_grid_lands_voxel_for_voxel(oblique: Volume, codes: str) -> None:
    label = Volume(data=(oblique.data > 0.5).astype(np.uint8), affine=oblique.affine)
    np.testing.assert_array_equal(resample_onto(oriented(label, codes), oblique), label.data)


def test_a_label_of_another_shape_is_refused(oblique: Volume) -> None:
    with pytest.raises(GeometryError, match=r"shape \(6, 6, 5\); expected the image's \(7, 6, 5\)"):
        check_same_grid(Volume(data=oblique.data[1:], affine=oblique.affine), oblique)


def test_a_label_that_is_shifted_is_refused(oblique: Volume) -> None:
    shifted = oblique.affine.copy()
    shifted[2, 3] += 1.0
    with pytest.raises(GeometryError, match=r"1\.00 mm away"):
        check_same_grid(Volume(data=oblique.data, affine=shifted), oblique)


def test_float32_rounding_of_an_affine_is_accepted(oblique: Volume) -> None:
    check_same_grid(Volume(data=oblique.data, affine=oblique.affine.astype(np.float32).astype(float)), oblique)
