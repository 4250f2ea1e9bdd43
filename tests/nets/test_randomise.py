from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.nets.augment import RANDOMISED, STANDARD, augment
from lib.nets.grids import AIR
from lib.nets.randomise import NONE, Domain, randomise

SHAPE = (2, 1, 14, 12, 10)
KINDS = ("contrast", "tissue", "slices", "ghost", "cut")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sample() -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.randn(SHAPE, generator=seeded(9))
    label = torch.zeros(SHAPE, dtype=torch.uint8)
    label[..., 4:9, 4:9, 4:8] = 2
    return image, label


def only(kind: str) -> Domain:
    return Domain(**{f"{name}_chance": float(name == kind) for name in KINDS})


def test_every_chance_has_a_kind_here() -> None:
    assert {field.name for field in fields(Domain) if field.name.endswith("_chance")} == {f"{k}_chance" for k in KINDS}


def test_without_a_chance_nothing_changes() -> None:
    image, label = sample()
    assert torch.equal(randomise(image, label, seeded(), NONE), image)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_the_image_and_keeps_its_shape(kind: str) -> None:
    image, label = sample()
    foreign = randomise(image, label, seeded(1), only(kind))
    assert foreign.shape == image.shape
    assert torch.isfinite(foreign).all()
    assert not torch.equal(foreign, image)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_the_same_seed_gives_the_same_images(seed: int) -> None:
    image, label = sample()
    domain = Domain(**{f"{name}_chance": 0.5 for name in KINDS})
    first = randomise(image, label, seeded(seed), domain)
    assert torch.equal(first, randomise(image, label, seeded(seed), domain))
    assert torch.isfinite(first).all()


def test_a_tissue_changes_where_it_lies_and_nowhere_beyond_the_next_voxel() -> None:
    image, label = sample()
    change = (randomise(image, label, seeded(1), only("tissue")) - image).abs()
    assert change[..., 5:8, 5:8, 5:7].min() > 0
    far = torch.ones(SHAPE, dtype=torch.bool)
    far[..., 3:10, 3:10, 3:9] = False
    assert change[far].max() == 0


def test_a_foreign_contrast_keeps_the_mean_and_leaves_air_alone() -> None:
    image, label = sample()
    image[..., :5] = AIR
    foreign = randomise(image, label, seeded(2), only("contrast"))
    assert torch.equal(foreign[..., :5], image[..., :5])
    body = image > AIR / 2
    for case in range(len(image)):
        inside = body[case]
        assert foreign[case][inside].mean() == pytest.approx(float(image[case][inside].mean()), abs=1e-4)


def test_a_cut_field_is_air_and_the_rest_is_as_it_was() -> None:
    image, label = sample()
    foreign = randomise(image, label, seeded(5), only("cut"))
    changed = foreign != image
    assert changed.any()
    assert (foreign[changed] == AIR).all()


def test_an_image_of_air_stays_finite() -> None:
    image, label = torch.full(SHAPE, AIR), torch.zeros(SHAPE, dtype=torch.uint8)
    assert torch.isfinite(randomise(image, label, seeded(), only("contrast"))).all()


def test_randomised_training_shows_other_patches_than_standard_training() -> None:
    image, label = sample()
    patch, spacing = (10, 8, 6), (1.5, 1.5, 3.0)
    many = [augment(image, label, patch, spacing, seeded(seed), RANDOMISED)[0] for seed in range(4)]
    plain = [augment(image, label, patch, spacing, seeded(seed), STANDARD)[0] for seed in range(4)]
    assert any(not torch.equal(one, other) for one, other in zip(many, plain, strict=True))
