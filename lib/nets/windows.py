"""Run a network over a large image: in overlapping windows, everywhere or only inside boxes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lib.nets.grids import Box, pad_to, window_starts
from lib.nets.networks import Plan
from lib.nets.runtime import Runner

_OVERLAP = 0.25


@torch.inference_mode()
def class_probabilities(
    image: Tensor, network: Runner, plan: Plan, *, mirrored: bool = True, boxes: Sequence[Box] = ()
) -> Tensor:
    """Probabilities of every class on the working grid, in windows when the image is large.

    Args:
        image: Normalised intensities (X, Y, Z).
        network: Runs the plan's network.
        plan: Its plan.
        mirrored: Whether each window is also seen mirrored left-right, and both answers are averaged.
        boxes: Look only there, at whole windows; elsewhere is background. Empty to look everywhere.

    Returns:
        float32 (classes, X, Y, Z) on the CPU.
    """
    i, j, k = image.shape
    window = [  # at least two voxels along each axis of the deepest level: instance norm needs them
        min(limit, max(-(-n // step), 2) * step)
        for n, limit, step in zip(image.shape, plan.window, plan.multiple, strict=True)
    ]
    padded = pad_to(image, (window[0], window[1], window[2]))
    whole: Box = (slice(0, padded.shape[0]), slice(0, padded.shape[1]), slice(0, padded.shape[2]))
    corners = {corner for box in boxes or [whole] for corner in _corners(box, window, padded.shape)}
    places = [tuple(slice(s, s + w) for s, w in zip(corner, window, strict=True)) for corner in sorted(corners)]
    if len(places) == 1 and not boxes:
        total = _softmax_window(padded, network, mirrored)
    else:
        total = _blended(padded, network, places, plan.classes, mirrored)
    return total[:, :i, :j, :k].cpu()


def _corners(box: Box, window: Sequence[int], shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """First voxels of the windows that cover a box: its middle along an axis where it is the smaller, else even."""
    starts = []
    for span, size, limit in zip(box, window, shape, strict=True):
        length = span.stop - span.start
        first = span.start if length > size else min(max(0, (span.start + span.stop - size) // 2), limit - size)
        starts.append([first + start for start in window_starts(length, size, _OVERLAP)])
    return itertools.product(*starts)


def _blended(
    padded: Tensor, network: Runner, places: Sequence[tuple[slice, ...]], classes: int, mirrored: bool
) -> Tensor:
    windows = (_softmax_window(padded[place], network, mirrored) for place in places)
    first = next(windows)
    bump = _bump(first.shape[1:]).to(first.device)
    total = torch.zeros((classes, *padded.shape), device=first.device)
    for place, window in zip(places, itertools.chain([first], windows), strict=True):
        total[:, *place] += window * bump
    seen = total.sum(0)
    total[0, seen == 0] = 1.0
    return total.div_(seen.where(seen > 0, 1.0))


def _softmax_window(window: Tensor, network: Runner, mirrored: bool) -> Tensor:
    if mirrored:
        return (_softmax_window(window, network, False) + _softmax_window(window.flip(0), network, False).flip(1)) / 2
    return torch.softmax(network(window[None, None])[0], 0)


def _bump(window: Sequence[int]) -> Tensor:
    """Weight of each voxel of a window: falls towards the faces, where the network sees least."""
    ramps = [torch.minimum(torch.arange(n) + 1, n - torch.arange(n)).float() for n in window]
    return ramps[0][:, None, None] * ramps[1][:, None] * ramps[2] / math.prod(window)
