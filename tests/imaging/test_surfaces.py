"""Surface distances against MONAI's, and against distances known by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from lib.imaging.surfaces import surface_distances

SPACING_MM = (1.5, 1.2, 3.0)
TOLERANCE_MM = 2.0


def blobs(seed: int, shape: tuple[int, int, int] = (14, 12, 9)) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping balls with ragged borders."""
    rng = np.random.default_rng(seed)
    grid = np.indices(shape).transpose(1, 2, 3, 0)
    centres = np.array(shape) / 2 + rng.normal(0, 1.5, (2, 3))
    one, other = (((grid - centre) ** 2).sum(-1) + rng.normal(0, 3, shape) < rng.uniform(6, 16) for centre in centres)
    return one, other


def test_two_voxels_are_as_far_apart_as_their_centres() -> None:
    one, other = np.zeros((2, 9, 4, 4), bool)
    one[1, 1, 1] = other[4, 1, 2] = True
    distances = surface_distances(one, other, np.diag(SPACING_MM))
    expected = np.hypot(3 * SPACING_MM[0], SPACING_MM[2])
    assert distances.hd95_mm() == pytest.approx(expected)
    assert distances.surface_dice(expected) == 1.0
    assert distances.surface_dice(expected - 0.01) == 0.0


def test_an_oblique_grid_changes_no_distance() -> None:
    one, other = blobs(3)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    straight = surface_distances(one, other, np.diag(SPACING_MM))
    oblique = surface_distances(one, other, turn @ np.diag(SPACING_MM))
    assert oblique.hd95_mm() == pytest.approx(straight.hd95_mm())
    assert oblique.surface_dice(TOLERANCE_MM) == straight.surface_dice(TOLERANCE_MM)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # of MONAI's own making
@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_distances_agree_with_monai(seed: int) -> None:
    one, other = blobs(seed)
    ours = surface_distances(one, other, np.diag(SPACING_MM))
    batch = [torch.from_numpy(mask)[None, None] for mask in (one, other)]
    theirs = compute_hausdorff_distance(*batch, include_background=True, percentile=95, spacing=SPACING_MM)
    assert ours.hd95_mm() == pytest.approx(float(theirs), abs=1e-4)
    near = compute_surface_dice(*batch, [TOLERANCE_MM], include_background=True, spacing=SPACING_MM)
    assert ours.surface_dice(TOLERANCE_MM) == pytest.approx(float(near), abs=1e-6)


@given(st.integers(0, 10_000))
def test_distances_survive_a_mirror_and_a_swap(seed: int) -> None:
    one, other = blobs(seed)
    to_mm = np.diag(SPACING_MM)
    here, mirrored, swapped = (
        surface_distances(one, other, to_mm),
        surface_distances(one[::-1], other[::-1], to_mm),
        surface_distances(other, one, to_mm),
    )
    assert here.hd95_mm() == pytest.approx(mirrored.hd95_mm())
    assert here.hd95_mm() == pytest.approx(swapped.hd95_mm())
    assert here.surface_dice(1.0) == mirrored.surface_dice(1.0) == swapped.surface_dice(1.0)
