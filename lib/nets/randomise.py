"""Images as no scanner of the training cases makes them: random contrast of tissues, coarse slices, ghosts, cut fields.

On tensors, the same on CPU and GPU; seeded by a generator. The idea of a random shallow network as a contrast is from
Ouyang et al., "Causality-inspired single-source domain generalization for medical image segmentation" (2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lib.domain.structures import STRUCTURES
from lib.nets.grids import AIR

_HIDDEN = 4  # channels of the random network
_LAYERS = 3
_SLOPE = 0.2  # of its leaky steps below zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """How often and how far an image is made foreign; a chance is the share of patches that get it.

    Attributes:
        contrast_chance: A random network's image is mixed in, by up to ``contrast``.
        tissue_chance: Each structure is made brighter or darker, with SD ``tissue`` in z-scores.
        slices_chance: Shown as if acquired with slices up to ``slices`` times as thick.
        ghost_chance: A shifted copy is added, by up to ``ghost`` of the signal.
        cut_chance: Up to ``cut`` of an edge's length is missing: air.
    """

    contrast_chance: float = 0.3
    contrast: float = 0.7
    tissue_chance: float = 0.3
    tissue: float = 0.2
    slices_chance: float = 0.2
    slices: float = 2.5
    ghost_chance: float = 0.15
    ghost: float = 0.2
    cut_chance: float = 0.1
    cut: float = 0.25


NONE = Domain(contrast_chance=0, tissue_chance=0, slices_chance=0, ghost_chance=0, cut_chance=0)


def randomise(
    image: Tensor, label: Tensor, generator: torch.Generator, domain: Domain, chooser: torch.Generator | None = None
) -> Tensor:
    """Make some of a batch's images foreign.

    Args:
        image: Normalised intensities (B, 1, X, Y, Z).
        label: Classes of the same shape; never changed, since nothing moves.
        generator: On the device of the image.
        domain: How often and how far.
        chooser: On the CPU, draws what is done to which image, so that a GPU is not waited for; None for the same
            generator.

    Returns:
        Images of the same shape.
    """
    choose = chooser or generator
    cases = zip(image, label, strict=True)
    return torch.cat([_one(one[None], classes[None], generator, choose, domain) for one, classes in cases])


def _one(image: Tensor, label: Tensor, generator: torch.Generator, chooser: torch.Generator, domain: Domain) -> Tensor:
    draws = torch.rand(5, generator=chooser, device=chooser.device).tolist()
    if draws[0] < domain.tissue_chance:
        image = _tissues(image, label, generator, domain.tissue)
    if draws[1] < domain.contrast_chance:
        image = _contrast(image, generator, chooser, domain.contrast)
    if draws[2] < domain.slices_chance:
        image = _slices(image, chooser, domain.slices)
    if draws[3] < domain.ghost_chance:
        image = _ghost(image, chooser, domain.ghost)
    if draws[4] < domain.cut_chance:
        image = _cut(image, chooser, domain.cut)
    return image


def _tissues(image: Tensor, label: Tensor, generator: torch.Generator, amount: float) -> Tensor:
    """Shift each structure's signal; structures blend into each other over a voxel, as they do in an image."""
    shifts = torch.randn(1 + len(STRUCTURES), generator=generator, device=image.device) * amount
    shifts[0] = 0
    field = shifts[label.long()]
    return image + functional.avg_pool3d(functional.pad(field, (1,) * 6, mode="replicate"), 3, stride=1)


def _contrast(image: Tensor, generator: torch.Generator, chooser: torch.Generator, most: float) -> Tensor:
    """Mix in the output of a random shallow network, brought to the mean and spread of the body's signal."""
    body = image > AIR / 2
    foreign = image
    for layer in range(_LAYERS):
        last = layer == _LAYERS - 1
        size = 1 if _draw(chooser) < 0.5 else 3
        shape = (1 if last else _HIDDEN, foreign.shape[1], size, size, size)
        weight = torch.randn(shape, generator=generator, device=image.device) / (shape[1] * size**3) ** 0.5
        padded = functional.pad(foreign, (size // 2,) * 6, mode="replicate")
        foreign = functional.conv3d(padded, weight)
        if not last:
            shift = torch.randn((1, _HIDDEN, 1, 1, 1), generator=generator, device=image.device)
            foreign = functional.leaky_relu(foreign + shift, _SLOPE)
    (mean, spread), (foreign_mean, foreign_spread) = _moments(image, body), _moments(foreign, body)
    foreign = (foreign - foreign_mean) / foreign_spread.clamp(min=1e-3) * spread + mean
    share = most * _draw(chooser)
    return torch.where(body, (1 - share) * image + share * foreign, image)


def _moments(image: Tensor, body: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation inside a mask; zero when it is empty. Picking voxels would wait for a GPU."""
    count = body.sum().clamp(min=1)
    mean = torch.where(body, image, 0).sum() / count
    return mean, (torch.where(body, image - mean, 0).square().sum() / count).sqrt()


def _slices(image: Tensor, chooser: torch.Generator, most: float) -> Tensor:
    """Average along one axis, then interpolate back."""
    axis = _pick(3, chooser)
    shape = list(image.shape[-3:])
    small = list(shape)
    small[axis] = max(1, round(shape[axis] / (1 + (most - 1) * _draw(chooser))))
    return functional.interpolate(functional.interpolate(image, size=small, mode="area"), size=shape, mode="trilinear")


def _ghost(image: Tensor, chooser: torch.Generator, most: float) -> Tensor:
    """Add a copy that is shifted within the slice, as breathing does along the phase encoding."""
    axis = 2 + _pick(2, chooser)
    shift = round(image.shape[axis] * (0.2 + 0.6 * _draw(chooser)))
    return image + (image.roll(shift, axis) - AIR) * (most * _draw(chooser))


def _cut(image: Tensor, chooser: torch.Generator, most: float) -> Tensor:
    """Leave air where a smaller field of view ends."""
    axis = 2 + _pick(3, chooser)
    length = image.shape[axis]
    missing = int(length * most * _draw(chooser))
    kept = torch.arange(length, device=image.device)
    kept = kept >= missing if _draw(chooser) < 0.5 else kept < length - missing
    shape = [1] * image.ndim
    shape[axis] = length
    return torch.where(kept.view(shape), image, AIR)


def _draw(generator: torch.Generator) -> float:
    return float(torch.rand(1, generator=generator, device=generator.device))


def _pick(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (1,), generator=generator, device=generator.device))
