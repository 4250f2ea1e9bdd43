"""Random variation of training patches, on tensors, the same on CPU and GPU; seeded by generators.

Amounts are drawn on the image's device. What decides what is done at all is drawn on the CPU, so that a GPU is never
waited for. Strong variation of intensity stands in for the scanners that the training cases do not show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lib.nets.grids import AIR
from lib.nets.randomise import NONE, Domain, randomise

_CURVE_KNOTS = 8
_CURVE_RANGE = (-3.0, 5.0)  # z-scores between which the intensity curve bends; beyond, it goes straight on


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """How far each kind of variation goes; a chance is the share of patches that get it."""

    rotate_z_deg: float = 20.0
    rotate_xy_deg: float = 10.0
    scale: float = 0.2
    shear: float = 0.08
    flip_chance: float = 0.5
    curve: float = 0.4
    gamma: float = 0.3
    contrast: float = 0.15
    brightness: float = 0.15
    bias: float = 0.25
    noise: float = 0.15
    noise_chance: float = 0.5
    blur_chance: float = 0.25
    blur_steps: tuple[float, float] = (1.2, 2.2)
    domain: Domain = NONE


STANDARD = Strength()
RANDOMISED = Strength(domain=Domain())


def margin(patch: tuple[int, int, int]) -> tuple[int, int, int]:
    """Shape to cut so that most turned and scaled patches stay inside it."""
    i, j, k = (math.ceil(1.2 * n) for n in patch)
    return i, j, k


def augment(
    image: Tensor,
    label: Tensor,
    patch: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    generator: torch.Generator,
    strength: Strength = STANDARD,
    chooser: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Turn, scale, mirror and re-colour a batch.

    Args:
        image: Normalised intensities (B, 1, X, Y, Z), larger than the patch (``margin``).
        label: Classes (B, labels, X, Y, Z), several when they move together; the first tells which tissue is where.
        patch: Shape to return.
        spacing_mm: Voxel edge lengths, so that rotations are rigid.
        generator: On the device of the image.
        strength: How much of everything.
        chooser: On the CPU, draws which patches get what; None for the same generator.

    Returns:
        Image (B, 1, *patch) and label (B, labels, *patch).
    """
    grid = random_grid(image, patch, spacing_mm, generator, strength)
    label = functional.grid_sample(label.float(), grid, mode="nearest", align_corners=True).to(label.dtype)
    image = randomise(moved(image, grid), label[:, :1], generator, strength.domain, chooser)
    return recolour(image, generator, strength, chooser), label


def moved(image: Tensor, grid: Tensor) -> Tensor:
    """Sample an image at a grid's places; outside of it is air."""
    return functional.grid_sample(image - AIR, grid, align_corners=True) + AIR


def random_grid(
    image: Tensor,
    patch: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    generator: torch.Generator,
    strength: Strength = STANDARD,
) -> Tensor:
    """Draw one random affine per case, with mirroring left-right: a grid (B, *patch, 3) for grid_sample."""
    spacing = torch.tensor(spacing_mm, device=generator.device)
    matrices = _random_affines(len(image), generator, strength) * (spacing / spacing[:, None])
    return _sampling_grid(matrices, patch, image.shape[-3:])


def _random_affines(count: int, generator: torch.Generator, strength: Strength) -> Tensor:
    """Matrices (B, 3, 3) in mm: mirror, shear, scale, then turn about each axis."""
    limits = [math.radians(degrees) for degrees in (strength.rotate_xy_deg, strength.rotate_xy_deg)]
    angles = [_uniform(count, generator) * limit for limit in (*limits, math.radians(strength.rotate_z_deg))]
    matrix = torch.diag_embed(torch.exp(_uniform(count, generator)[:, None].expand(-1, 3) * strength.scale))
    matrix = matrix + matrix * _uniform((count, 3, 3), generator) * strength.shear
    for axis, angle in enumerate(angles):
        matrix = matrix @ _rotation(axis, angle)
    mirror = torch.rand(count, generator=generator, device=generator.device) < strength.flip_chance
    matrix[:, 0] *= torch.where(mirror, -1.0, 1.0)[:, None]
    return matrix


def _rotation(axis: int, angle: Tensor) -> Tensor:
    one, two = (other for other in range(3) if other != axis)
    matrix = torch.eye(3, device=angle.device).repeat(len(angle), 1, 1)
    matrix[:, one, one] = matrix[:, two, two] = angle.cos()
    matrix[:, one, two] = -angle.sin()
    matrix[:, two, one] = angle.sin()
    return matrix


def _sampling_grid(matrices: Tensor, patch: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """Where each voxel of the patch is found, in grid_sample's units (z, y, x from -1 to 1)."""
    device = matrices.device
    axes = [torch.arange(n, device=device) - (n - 1) / 2 for n in patch]
    scale = torch.tensor([2 / max(1, n - 1) for n in shape], device=device)
    place = torch.zeros((len(matrices), *patch, 3), device=device)
    for column, steps in enumerate(axes):
        toward = matrices[:, :, column] * scale
        place += steps.view([-1 if axis == column else 1 for axis in range(3)] + [1]) * toward[:, None, None, None]
    return place.flip(-1)


def recolour(
    image: Tensor, generator: torch.Generator, strength: Strength = STANDARD, chooser: torch.Generator | None = None
) -> Tensor:
    """Vary intensities: a rising curve, a bias field, blur, noise, contrast and brightness; order is never inverted."""
    image = _bend(image, generator, strength)
    image = _bias(image, generator, strength.bias)
    image = _blur(image, chooser or generator, strength)
    image = _noise(image, generator, strength)
    contrast = torch.exp(_per_case(image, generator) * strength.contrast)
    return image * contrast + _per_case(image, generator) * strength.brightness


def _bend(image: Tensor, generator: torch.Generator, strength: Strength) -> Tensor:
    """Map intensities through one random rising curve per case: a gamma with uneven steps."""
    low, high = _CURVE_RANGE
    count = len(image)
    even = torch.linspace(0, 1, _CURVE_KNOTS, device=image.device)
    gammas = torch.exp(_uniform((count, 1), generator) * strength.gamma)
    steps = (even**gammas).diff(dim=1) * torch.exp(_normal((count, _CURVE_KNOTS - 1), generator) * strength.curve)
    heights = functional.pad((steps / steps.sum(1, keepdim=True)).cumsum(1), (1, 0))
    place = (image - low) * ((_CURVE_KNOTS - 1) / (high - low))
    below = place.floor().clamp(0, _CURVE_KNOTS - 2)
    index = below.long().flatten(1)
    start = heights.gather(1, index).view_as(image)
    slope = heights.diff(dim=1).gather(1, index).view_as(image)
    return (start + slope * (place - below)) * (high - low) + low


def _bias(image: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Multiply the signal above air by a smooth random field."""
    coarse = _normal((len(image), 1, 3, 3, 3), generator) * strength
    field = functional.interpolate(coarse, size=image.shape[-3:], mode="trilinear", align_corners=True)
    return (image - AIR) * field.exp() + AIR


def _noise(image: Tensor, generator: torch.Generator, strength: Strength) -> Tensor:
    amount = strength.noise * _chosen(image, generator, strength.noise_chance) * _per_case(image, generator).abs()
    return image + amount * _normal(tuple(image.shape), generator)


def _blur(image: Tensor, chooser: torch.Generator, strength: Strength) -> Tensor:
    """Show some cases as if acquired with coarser voxels."""
    blurred = []
    low, high = strength.blur_steps
    draws = torch.rand((len(image), 2), generator=chooser, device=chooser.device).tolist()
    for case, (chance, width) in zip(image, draws, strict=True):
        if chance >= strength.blur_chance:
            blurred.append(case)
            continue
        step = low + (high - low) * width
        small = functional.interpolate(case[None], size=[max(1, round(n / step)) for n in case.shape[-3:]], mode="area")
        blurred.append(functional.interpolate(small, size=case.shape[-3:], mode="trilinear")[0])
    return torch.stack(blurred)


def _uniform(shape: int | tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Even in [-1, 1)."""
    return torch.rand(shape, generator=generator, device=generator.device) * 2 - 1


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _per_case(image: Tensor, generator: torch.Generator) -> Tensor:
    return _uniform((len(image), 1, 1, 1, 1), generator)


def _chosen(image: Tensor, generator: torch.Generator, chance: float) -> Tensor:
    return (torch.rand((len(image), 1, 1, 1, 1), generator=generator, device=generator.device) < chance).float()
