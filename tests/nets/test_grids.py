from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.domain.errors import BadImageError
from lib.imaging import geometry
from lib.imaging.volume import Volume
from lib.nets.grids import (
    WorkingImage,
    axis_weights,
    body_box,
    from_working,
    label_to_working,
    normalise,
    pad_to,
    resample,
    to_working,
    window_starts,
)

sizes = st.integers(1, 60)
edges_mm = st.floats(0.4, 8.0)
SPACING_MM = (1.5, 1.5, 3.0)


def whole(image: torch.Tensor) -> WorkingImage:
    i, j, k = image.shape
    return WorkingImage(image=image, box=(slice(0, i), slice(0, j), slice(0, k)), shape=(i, j, k))


def volume(data: np.ndarray, spacing_mm: tuple[float, float, float] = SPACING_MM) -> Volume:
    return Volume(data=data, affine=np.diag([*spacing_mm, 1.0]))


@given(n_in=sizes, mm_in=edges_mm, mm_out=edges_mm)
@settings(max_examples=60, deadline=None)
def test_resampling_keeps_a_constant_and_its_mirror_image(n_in: int, mm_in: float, mm_out: float) -> None:
    n_out = max(1, round(n_in * mm_in / mm_out))
    weights = axis_weights(n_in, mm_in, n_out, mm_out)
    assert torch.allclose(weights.sum(1), torch.ones(n_out), atol=1e-5)
    assert torch.allclose(weights.flip(0, 1), weights, atol=1e-5)


@given(n_in=st.integers(8, 60), mm_in=edges_mm, mm_out=edges_mm)
@settings(max_examples=60, deadline=None)
def test_resampling_keeps_a_ramp_in_place(n_in: int, mm_in: float, mm_out: float) -> None:
    """Where no face is near, a position in mm is found again at its own position: voxel centres do not move."""
    n_out = max(1, round(n_in * mm_in / mm_out))
    here = (torch.arange(n_in) - (n_in - 1) / 2) * mm_in
    there = (torch.arange(n_out) - (n_out - 1) / 2) * mm_out
    found = axis_weights(n_in, mm_in, n_out, mm_out) @ here
    inside = there.abs() < n_in * mm_in / 2 - mm_in - mm_out
    assert torch.allclose(found[inside], there[inside], atol=0.26 * mm_in + 1e-4)


def test_upsampling_agrees_with_the_imaging_layer() -> None:
    data = np.random.default_rng(0).normal(size=(9, 8, 7)).astype(np.float32)
    theirs = geometry.resample(volume(data, (3.0, 3.0, 3.0)), SPACING_MM).data
    rows = zip(data.shape, (3.0, 3.0, 3.0), theirs.shape, SPACING_MM, strict=True)
    x, y, z = (axis_weights(*row) for row in rows)
    ours = resample(torch.from_numpy(data), (x, y, z))
    assert np.allclose(ours.numpy(), theirs, atol=1e-4)


@given(seed=st.integers(0, 100), shape=st.tuples(*[st.integers(1, 12)] * 3))
@settings(max_examples=40, deadline=None)
def test_on_the_working_spacing_no_voxel_of_a_label_moves(seed: int, shape: tuple[int, int, int]) -> None:
    label = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)
    classes = label_to_working(volume(label), SPACING_MM, (1, 2, 3))
    assert np.array_equal(classes.numpy(), label)
    probabilities = torch.nn.functional.one_hot(classes.long(), 4).movedim(-1, 0).float()
    back, _ = from_working(probabilities, whole(classes.float()), volume(label), SPACING_MM)
    assert np.array_equal(back.numpy(), label)


@given(
    seed=st.integers(0, 100),
    shape=st.tuples(*[st.integers(3, 14)] * 3),
    spacing_mm=st.tuples(*[st.floats(0.6, 6.0)] * 3),
)
@settings(max_examples=40, deadline=None)
def test_skipping_what_cannot_win_changes_no_voxel(
    seed: int, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> None:
    generator = torch.Generator().manual_seed(seed)
    i, j, k = geometry.resampled_shape(shape, spacing_mm, SPACING_MM)
    sharp = 6 * torch.randn((4, i, j, k), generator=generator)
    sharp[0] += 6
    probabilities = torch.softmax(sharp, 0)
    image = volume(np.zeros(shape, np.float32), spacing_mm)
    rows = zip((i, j, k), SPACING_MM, shape, spacing_mm, strict=True)
    x, y, z = (axis_weights(*row) for row in rows)
    full = resample(probabilities, (x, y, z))
    best = full.sort(0).values
    clear = best[-1] - best[-2] > 1e-4
    quick, certainty = from_working(probabilities, whole(probabilities[0]), image, SPACING_MM)
    assert torch.equal(quick[clear].long(), full.argmax(0)[clear])
    won = clear & (quick > 0)
    assert torch.allclose(certainty[won].float(), full.amax(0)[won], atol=2e-3)
    assert (certainty[quick == 0] == 0).all()


def test_going_coarser_averages_noise_away() -> None:
    noise = np.random.default_rng(0).normal(size=(60, 60, 60)).astype(np.float32)
    rows = zip(noise.shape, (1.0,) * 3, (20, 20, 20), (3.0,) * 3, strict=True)
    x, y, z = (axis_weights(*row) for row in rows)
    assert resample(torch.from_numpy(noise), (x, y, z)).std() < 0.2


def test_the_crop_holds_the_body_and_drops_the_air() -> None:
    data = np.abs(np.random.default_rng(0).normal(0, 3, (80, 70, 30))).astype(np.float32)
    data[20:60, 15:55, :] += 200
    box = body_box(torch.from_numpy(data), SPACING_MM)
    assert [(part.start, part.stop) for part in box] == [(12, 68), (7, 63), (0, 30)]


@given(scale=st.floats(0.01, 1000), shift=st.floats(-100, 100))
@settings(max_examples=30, deadline=None)
def test_a_scanners_scale_and_offset_do_not_matter(scale: float, shift: float) -> None:
    image = torch.from_numpy(np.random.default_rng(0).gamma(2, 50, (12, 12, 12)).astype(np.float32))
    assert torch.allclose(normalise(image * scale + shift * scale), normalise(image), atol=2e-2)


def test_a_constant_image_is_normalised_to_finite_numbers() -> None:
    assert torch.isfinite(normalise(torch.full((5, 5, 5), 7.0))).all()


def test_an_image_with_a_nan_is_refused() -> None:
    data = np.ones((4, 4, 4), np.float32)
    data[1, 2, 3] = np.nan
    with pytest.raises(BadImageError, match="not finite"):
        to_working(volume(data), SPACING_MM)


@given(length=st.integers(1, 500), window=st.integers(8, 128))
@settings(max_examples=60, deadline=None)
def test_windows_cover_every_voxel_and_stay_inside(length: int, window: int) -> None:
    starts = window_starts(length, window, 0.25)
    covered = {voxel for start in starts for voxel in range(start, start + window)}
    assert covered >= set(range(length))
    assert max(starts) + window <= max(length, window)


def test_padding_adds_air_at_the_end_only() -> None:
    padded = pad_to(torch.ones(2, 3, 4), (3, 3, 6))
    assert padded.shape == (3, 3, 6)
    assert torch.equal(padded[:2, :, :4], torch.ones(2, 3, 4))
    assert padded[2].max() < -1
