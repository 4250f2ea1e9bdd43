from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.domain.errors import BadWeightsError
from lib.domain.structures import MASS
from lib.imaging.volume import Volume
from lib.nets.networks import LoadedWeights, Plan
from lib.nets.predict import Predictor, drop_specks, predict_volume

PLAN = Plan(code="CP", window=(64, 64, 32), channels=(8, 16))
ORIENTATIONS = [
    np.array(list(zip(axes, flips, strict=True)))
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]


class Threshold:
    """Stands in for a network: brighter than the body's mean is kidney, much brighter is mass."""

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        zero = torch.zeros_like(image)
        return torch.cat([zero, 40 * (image - 0.2), 80 * (image - 0.7), zero - 40], 1)


def random_image(seed: int, shape: tuple[int, int, int] = (9, 8, 7)) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)


def oblique(seed: int, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """An affine turned by up to about 20 degrees."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn * np.sign(np.diag(turn)) * spacing_mm
    affine[:3, 3] = rng.uniform(-100, 100, 3)
    return affine


def reoriented(volume: Volume, orientation: np.ndarray) -> Volume:
    data = np.ascontiguousarray(nib.apply_orientation(volume.data, orientation))
    return Volume(data=data, affine=volume.affine @ nib.orientations.inv_ornt_aff(orientation, volume.shape))


def label_of(volume: Volume, plan: Plan = PLAN) -> np.ndarray:
    return predict_volume(volume, Threshold(), plan, smallest_mass_mm3=0).label.data


@pytest.mark.parametrize("spacing_mm", [(1.5, 1.5, 3.0), (0.8, 1.1, 5.0)])
def test_in_all_48_orientations_the_label_turns_with_the_image(spacing_mm: tuple[float, float, float]) -> None:
    image = Volume(data=random_image(0), affine=oblique(0, spacing_mm))
    expected = Volume(data=label_of(image), affine=image.affine)
    assert len(np.unique(expected.data)) > 2
    for orientation in ORIENTATIONS:
        assert np.array_equal(label_of(reoriented(image, orientation)), reoriented(expected, orientation).data)


@given(
    seed=st.integers(0, 200),
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    spacing_mm=st.tuples(*[st.floats(0.5, 6.0)] * 3),
    orientation=st.sampled_from(ORIENTATIONS),
)
@settings(max_examples=40, deadline=None)
def test_the_label_is_on_the_images_grid_and_turns_with_it(
    seed: int, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], orientation: np.ndarray
) -> None:
    image = Volume(data=random_image(seed, shape), affine=oblique(seed, spacing_mm))
    label = label_of(image)
    assert label.shape == shape
    assert label.dtype == np.uint8
    turned = label_of(reoriented(image, orientation))
    assert np.array_equal(turned, reoriented(Volume(data=label, affine=image.affine), orientation).data)


@given(seed=st.integers(0, 200), shape=st.tuples(*[st.integers(6, 40)] * 3))
@settings(max_examples=25, deadline=None)
def test_at_the_working_spacing_every_voxel_is_labelled_from_itself(seed: int, shape: tuple[int, int, int]) -> None:
    data = np.random.default_rng(seed).choice(np.array([10, 100, 200], np.float32), shape)
    data[0, 0, 0], data[-1, -1, -1] = 10, 200
    label = label_of(Volume(data=data, affine=np.diag([1.5, 1.5, 3.0, 1.0])))
    for level in np.unique(data):
        assert len(np.unique(label[data == level])) == 1
    assert label[-1, -1, -1] != label[0, 0, 0]


def test_only_where_both_kidneys_are_found_anything_is_labelled() -> None:
    image = Volume(data=random_image(4, (90, 80, 40)), affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    plan = replace(PLAN, window=(16, 16, 16))
    box, other = (slice(8, 12), slice(8, 12), slice(8, 12)), (slice(60, 64), slice(60, 64), slice(8, 12))
    everywhere = predict_volume(image, Threshold(), plan)
    here = predict_volume(image, Threshold(), plan, find=lambda *_: [box, other])
    assert (everywhere.kidneys, everywhere.everywhere) == (0, True)
    assert (here.kidneys, here.everywhere) == (2, False)
    assert 0 < np.count_nonzero(here.label.data) < np.count_nonzero(everywhere.label.data) / 2


@pytest.mark.parametrize("count", [0, 1])
def test_with_fewer_than_two_kidneys_the_whole_field_of_view_is_searched(count: int) -> None:
    image = Volume(data=random_image(4, (40, 40, 20)), affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    plan, box = replace(PLAN, window=(16, 16, 16)), (slice(8, 12), slice(8, 12), slice(8, 12))
    found = predict_volume(image, Threshold(), plan, find=lambda *_: [box] * count)
    assert (found.kidneys, found.everywhere) == (count, True)
    assert np.array_equal(found.label.data, predict_volume(image, Threshold(), plan).label.data)


def test_the_label_keeps_the_images_affine() -> None:
    image = Volume(data=random_image(1), affine=oblique(1, (1, 2, 3)))
    prediction = predict_volume(image, Threshold(), PLAN)
    assert np.array_equal(prediction.label.affine, image.affine)
    assert set(prediction.seconds) == {"prepare", "find", "network", "restore"}


@pytest.mark.parametrize("shape", [(1, 1, 1), (40, 30, 1), (3, 200, 2), (5, 4, 3)])
def test_tiny_and_flat_images_are_labelled(tiny_weights: LoadedWeights, shape: tuple[int, int, int]) -> None:
    image = Volume(data=random_image(3, shape), affine=oblique(3, (1.2, 1.2, 6.0)))
    assert Predictor(tiny_weights, "cpu")(image).label.data.shape == shape


def test_a_field_of_view_larger_than_the_window_is_labelled(tiny_weights: LoadedWeights) -> None:
    image = Volume(data=random_image(4, (150, 140, 70)), affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    assert Predictor(tiny_weights, "cpu")(image).label.data.shape == (150, 140, 70)


def test_calls_from_several_threads_give_what_one_gives(tiny_weights: LoadedWeights) -> None:
    predictor = Predictor(tiny_weights, "cpu")
    images = [Volume(data=random_image(seed, (40, 32, 16)), affine=oblique(seed, (2, 2, 4))) for seed in range(4)]
    alone = [predictor(image).label.data for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: predictor(image).label.data, images))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_a_mass_below_the_smallest_size_becomes_its_runner_up() -> None:
    probabilities = torch.full((4, 12, 12, 12), 0.0)
    probabilities[0], probabilities[1] = 0.6, 0.4
    probabilities[:, 2:4, 2, 2] = torch.tensor([0.1, 0.3, 0.6, 0.0])[:, None]
    probabilities[:, 6:10, 6:10, 6:10] = torch.tensor([0.1, 0.3, 0.6, 0.0])[:, None, None, None]
    cleaned = drop_specks(probabilities, PLAN, 60.0).argmax(0)
    assert cleaned[2, 2, 2] == 1
    assert (cleaned == MASS).sum() == 64
    assert probabilities[2].max() == pytest.approx(0.6)


def test_a_state_of_another_network_is_refused(tiny_weights: LoadedWeights) -> None:
    wider = replace(tiny_weights, plan=replace(tiny_weights.plan, channels=(16, 32, 64)))
    with pytest.raises(BadWeightsError, match="do not fit"):
        Predictor(wider, "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_labels_as_the_cpu_does(tiny_weights: LoadedWeights) -> None:
    image = Volume(data=random_image(5, (64, 64, 32)), affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    here = Predictor(tiny_weights, "cpu")(image).label.data
    there = Predictor(tiny_weights, "cuda")(image).label.data
    assert (here == there).mean() > 0.97
