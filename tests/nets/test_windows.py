from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from lib.nets.networks import Plan
from lib.nets.windows import class_probabilities

PLAN = Plan(code="CP", window=(64, 64, 32), channels=(8, 16))


class Threshold:
    """Stands in for a network: brighter than the body's mean is kidney, much brighter is mass."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        zero = torch.zeros_like(image)
        return torch.cat([zero, 40 * (image - 0.2), 80 * (image - 0.7), zero - 40], 1)


def random_image(shape: tuple[int, int, int]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).normal(1, 0.3, shape).astype(np.float32))


def test_windows_agree_with_the_whole_for_a_network_that_looks_at_one_voxel() -> None:
    image = random_image((70, 50, 40))
    whole = class_probabilities(image, Threshold(), replace(PLAN, window=(96, 96, 96)))
    windows = class_probabilities(image, Threshold(), replace(PLAN, window=(32, 24, 16)))
    assert torch.allclose(whole, windows, atol=1e-5)


def test_inside_a_box_the_answer_is_that_of_the_whole_and_elsewhere_it_is_background() -> None:
    image, plan, network = random_image((70, 50, 40)), replace(PLAN, window=(16, 16, 16)), Threshold()
    box = (slice(30, 55), slice(4, 14), slice(20, 30))
    found = class_probabilities(image, network, plan, boxes=[box], mirrored=False)
    assert network.seen == 2
    everywhere = class_probabilities(image, Threshold(), plan)
    assert torch.allclose(found[:, *box], everywhere[:, *box], atol=1e-5)
    assert (found[0, :28] == 1).all()
    assert (found[1:, :, 20:] == 0).all()
    assert torch.allclose(found.sum(0), torch.ones(image.shape), atol=1e-5)


def test_a_box_at_the_edge_and_one_as_large_as_the_image_are_seen_in_whole_windows() -> None:
    image, plan = random_image((40, 30, 20)), replace(PLAN, window=(16, 16, 16))
    corner = (slice(37, 40), slice(0, 2), slice(19, 20))
    whole = (slice(0, 40), slice(0, 30), slice(0, 20))
    everywhere = class_probabilities(image, Threshold(), plan)
    assert torch.allclose(
        class_probabilities(image, Threshold(), plan, boxes=[corner])[:, *corner], everywhere[:, *corner], atol=1e-5
    )
    assert torch.allclose(class_probabilities(image, Threshold(), plan, boxes=[corner, whole]), everywhere, atol=1e-5)


def test_an_image_smaller_than_a_window_has_no_background_by_padding() -> None:
    image = random_image((9, 8, 7))
    box = (slice(2, 4), slice(2, 4), slice(2, 4))
    assert torch.allclose(
        class_probabilities(image, Threshold(), PLAN, boxes=[box]),
        class_probabilities(image, Threshold(), PLAN),
        atol=1e-5,
    )
