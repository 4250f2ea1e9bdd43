from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.nets.augment import Strength, augment, margin, recolour

STILL = Strength(
    rotate_z_deg=0,
    rotate_xy_deg=0,
    scale=0,
    shear=0,
    flip_chance=0,
    curve=0,
    gamma=0,
    contrast=0,
    brightness=0,
    bias=0,
    noise=0,
    blur_chance=0,
)
PATCH = (10, 8, 6)
SPACING_MM = (1.5, 1.5, 3.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sample(shape: tuple[int, int, int] = (12, 10, 8)) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.randn((2, 1, *shape), generator=seeded(9))
    return image, (image > 0.5).to(torch.uint8)


def test_without_strength_the_middle_of_the_image_comes_back() -> None:
    image, label = sample()
    moved, classes = augment(image, label, PATCH, SPACING_MM, seeded(), STILL)
    assert torch.allclose(moved, image[:, :, 1:-1, 1:-1, 1:-1], atol=1e-5)
    assert torch.equal(classes, label[:, :, 1:-1, 1:-1, 1:-1])


def test_a_mirrored_patch_is_the_mirror_left_right_only() -> None:
    image, label = sample()
    always = Strength(**{name: getattr(STILL, name) for name in STILL.__slots__} | {"flip_chance": 1.0})
    moved, classes = augment(image, label, PATCH, SPACING_MM, seeded(), always)
    assert torch.allclose(moved.flip(2), image[:, :, 1:-1, 1:-1, 1:-1], atol=1e-5)
    assert torch.equal(classes.flip(2), label[:, :, 1:-1, 1:-1, 1:-1])


def test_the_same_seed_gives_the_same_batch_and_another_gives_another() -> None:
    image, label = sample()
    first, _ = augment(image, label, PATCH, SPACING_MM, seeded(1))
    again, _ = augment(image, label, PATCH, SPACING_MM, seeded(1))
    other, _ = augment(image, label, PATCH, SPACING_MM, seeded(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_image_and_label_move_together() -> None:
    label = torch.zeros((8, 1, 48, 48, 32), dtype=torch.uint8)
    label[:, :, 18:32, 14:30, 10:24] = 1
    moving = Strength(
        **{name: getattr(STILL, name) for name in STILL.__slots__}
        | {"rotate_z_deg": 30.0, "rotate_xy_deg": 10.0, "scale": 0.2, "shear": 0.1, "flip_chance": 0.5}
    )
    moved, classes = augment(label.float(), label, (40, 40, 28), SPACING_MM, seeded(4), moving)
    assert ((moved > 0.5) == (classes == 1)).float().mean() > 0.995
    assert not torch.equal(classes[0], classes[1])


def test_a_turn_is_rigid_in_millimetres_on_anisotropic_voxels() -> None:
    label = torch.zeros((16, 1, 40, 40, 40), dtype=torch.uint8)
    label[:, :, 10:30, 10:30, 15:25] = 1
    turning = Strength(
        **{name: getattr(STILL, name) for name in STILL.__slots__} | {"rotate_z_deg": 40.0, "rotate_xy_deg": 40.0}
    )
    _, turned = augment(label.float(), label, (40, 40, 40), SPACING_MM, seeded(4), turning)
    volumes = turned.float().sum((1, 2, 3, 4))
    assert volumes / label[0].sum() == pytest.approx(torch.ones(16).numpy(), abs=0.05)


@given(seed=st.integers(0, 500))
@settings(max_examples=25, deadline=None)
def test_recolouring_never_inverts_the_order_of_tissues(seed: int) -> None:
    ramp = torch.linspace(-3, 6, 64).view(1, 1, 64, 1, 1).expand(1, 1, 64, 4, 4).contiguous()
    local = Strength(bias=0, noise=0, blur_chance=0)
    steps = recolour(ramp, seeded(seed), local)[0, 0, :, 0, 0].diff()
    assert (steps > 0).all()


@given(seed=st.integers(0, 500))
@settings(max_examples=25, deadline=None)
def test_recolouring_stays_finite(seed: int) -> None:
    image = 5 * torch.randn((2, 1, 9, 7, 5), generator=seeded(seed))
    assert torch.isfinite(recolour(image, seeded(seed))).all()


def test_the_margin_is_larger_than_the_patch_along_every_axis() -> None:
    assert all(cut > wanted for cut, wanted in zip(margin(PATCH), PATCH, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_warps_as_the_cpu_does() -> None:
    image, label = sample()
    here, _ = augment(image, label, PATCH, SPACING_MM, seeded(), STILL)
    there, _ = augment(image.cuda(), label.cuda(), PATCH, SPACING_MM, torch.Generator("cuda").manual_seed(0), STILL)
    assert torch.allclose(here, there.cpu(), atol=1e-4)
