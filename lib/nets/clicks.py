"""The click network's view: the image, the label as it is, and one map of clicks for and against each structure.

One network serves every sequence. It sees a small box around the clicks on the working grid, which is what makes an
answer quick, and returns the classes of that box.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lib.domain.clicks import Click
from lib.domain.structures import STRUCTURE_NAMES
from lib.nets.cases import cut_into
from lib.nets.grids import Spacing
from lib.nets.networks import ALL_SEQUENCES, Plan

_SPREAD_MM = 4.0  # standard deviation of the spot that shows a click: two voxels of the working grid
_MAPS = 2  # for and against

CLICK_PLAN = Plan(
    code=ALL_SEQUENCES,
    patch=(48, 48, 24),
    window=(48, 48, 24),
    inputs=1 + len(STRUCTURE_NAMES) * (1 + _MAPS),
)


def encode(image: Tensor, label: Tensor, clicks: Sequence[Click], plan: Plan) -> Tensor:
    """What the network is shown.

    Args:
        image: Normalised intensities (X, Y, Z).
        label: Classes of the plan as they are now (X, Y, Z), uint8.
        clicks: Their places are voxels of this box; those outside of it count as far as their spots reach.
        plan: Names the structures.

    Returns:
        float32 (inputs, X, Y, Z): image, a mask for each structure, then for each structure clicks for and against.
    """
    masks = [(label == index).float() for index in range(1, plan.classes)]
    spots = [
        _spots([click for click in clicks if (click.structure, click.inside) == (name, inside)], image, plan.spacing_mm)
        for name in plan.structures
        for inside in (True, False)
    ]
    return torch.stack([image.float(), *masks, *spots])


def _spots(clicks: Sequence[Click], like: Tensor, spacing_mm: Spacing) -> Tensor:
    """One at each click, falling off around it."""
    found = torch.zeros(like.shape, device=like.device)
    for click in clicks:
        x, y, z = (
            torch.exp(-0.5 * ((torch.arange(n, device=like.device) - at) * (edge / _SPREAD_MM)) ** 2)
            for n, at, edge in zip(like.shape, click.at, spacing_mm, strict=True)
        )
        found = torch.maximum(found, x[:, None, None] * y[:, None] * z)
    return found


def around(source: Tensor, centre: Sequence[int], shape: tuple[int, ...], outside: float) -> Tensor:
    """Cut a box around a voxel; what lies beyond the source is filled with ``outside``."""
    box = torch.full(shape, outside, dtype=source.dtype)
    cut_into(source, centre, box)
    return box
