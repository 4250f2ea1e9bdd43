"""Prediction: an image in, a label on the image's own voxels out.

Safe to call from several threads: nothing is changed after construction, and one lock lets a single image
through at a time, which bounds memory; torch spreads that one over the cores.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lib.domain.structures import BACKGROUND, MASS, STRUCTURES
from lib.imaging.geometry import from_canonical, to_canonical
from lib.imaging.lesions import components
from lib.imaging.volume import Volume
from lib.nets.grids import from_working, mask_box, pad_to, to_working, window_starts
from lib.nets.networks import LoadedWeights, Plan, mixed_precision, network_with, pick_device

SMALLEST_MASS_MM3 = 60.0  # a sphere of 5 mm: smaller predicted masses are noise
_OVERLAP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """A proposal for one image.

    Attributes:
        label: Values of the structure table, uint8, on the voxel axes of the image.
        confidence: Mean probability of the winning class over the voxels labelled as each structure, by name;
            only structures that were found.
        seconds: Wall-clock time per stage.
    """

    label: Volume
    confidence: Mapping[str, float]
    seconds: Mapping[str, float]


class Predictor:
    """A trained network, ready to label images."""

    def __init__(
        self, weights: LoadedWeights, device: str = "auto", *, smallest_mass_mm3: float = SMALLEST_MASS_MM3
    ) -> None:
        """Build the network on its device.

        Raises:
            BadWeightsError: When the state does not fit its plan.
        """
        self.plan = weights.plan
        self._device = pick_device(device)
        self._network = network_with(weights).to(self._device).eval()
        self._smallest_mass_mm3 = smallest_mass_mm3
        self._lock = Lock()

    def __call__(self, volume: Volume) -> Prediction:
        """Label one image.

        Raises:
            BadImageError: When the image holds intensities that are not finite.
        """
        with self._lock:
            return predict_volume(volume, self._network, self.plan, smallest_mass_mm3=self._smallest_mass_mm3)


@torch.inference_mode()
def predict_volume(
    volume: Volume, network: nn.Module, plan: Plan, *, smallest_mass_mm3: float = SMALLEST_MASS_MM3
) -> Prediction:
    """Label one image with any network that maps (1, 1, X, Y, Z) to logits (1, classes, X, Y, Z).

    Raises:
        BadImageError: When the image holds intensities that are not finite.
    """
    marks = [time.perf_counter()]
    canonical = to_canonical(volume)
    working = to_working(canonical, plan.spacing_mm)
    marks.append(time.perf_counter())
    probabilities = class_probabilities(working.image, network, plan)
    marks.append(time.perf_counter())
    probabilities = drop_specks(probabilities, plan, smallest_mass_mm3)
    classes = from_working(probabilities, working, canonical, plan.spacing_mm)
    data = from_canonical(label_values(plan)[classes.numpy()], volume)
    marks.append(time.perf_counter())
    took = (after - before for before, after in itertools.pairwise(marks))
    return Prediction(
        label=Volume(data=data, affine=volume.affine),
        confidence=_confidence(probabilities, plan),
        seconds=dict(zip(("prepare", "network", "restore"), took, strict=True)),
    )


def label_values(plan: Plan) -> NDArray[np.uint8]:
    """Label value of each class of a plan."""
    return np.array([BACKGROUND, *(STRUCTURES[name].value for name in plan.structures)], dtype=np.uint8)


@torch.inference_mode()
def class_probabilities(image: Tensor, network: nn.Module, plan: Plan, *, mirrored: bool = True) -> Tensor:
    """Probabilities of every class on the working grid, in windows when the image is large.

    Args:
        image: Normalised intensities (X, Y, Z).
        network: Any network with the shapes of ``predict_volume``.
        plan: Its plan.
        mirrored: Whether each window is also seen mirrored left-right, and both answers are averaged.

    Returns:
        float32 (classes, X, Y, Z) on the CPU.
    """
    shape = image.shape
    window = [  # at least two voxels along each axis of the deepest level: instance norm needs them
        min(limit, max(-(-n // step), 2) * step)
        for n, limit, step in zip(shape, plan.window, plan.multiple, strict=True)
    ]
    padded = pad_to(image, (window[0], window[1], window[2]))
    starts = [window_starts(n, w, _OVERLAP) for n, w in zip(padded.shape, window, strict=True)]
    places = [
        tuple(slice(s, s + w) for s, w in zip(corner, window, strict=True)) for corner in itertools.product(*starts)
    ]
    if len(places) == 1:
        total = _softmax_window(padded, network, mirrored)
    else:
        total = _blended(padded, network, places, _bump(window), plan.classes, mirrored)
    return total[:, : shape[0], : shape[1], : shape[2]]


def _blended(
    padded: Tensor, network: nn.Module, places: list[tuple[slice, ...]], bump: Tensor, classes: int, mirrored: bool
) -> Tensor:
    total = torch.zeros((classes, *padded.shape))
    for place in places:
        total[:, *place] += _softmax_window(padded[place], network, mirrored) * bump
    return total.div_(total.sum(0, keepdim=True))


def _softmax_window(window: Tensor, network: nn.Module, mirrored: bool) -> Tensor:
    if mirrored:
        return (_softmax_window(window, network, False) + _softmax_window(window.flip(0), network, False).flip(1)) / 2
    device = next((weight.device for weight in network.parameters()), torch.device("cpu"))
    with mixed_precision(device):
        logits = network(window[None, None].to(device))
    return torch.softmax(logits[0].float(), 0).cpu()


def _bump(window: list[int]) -> Tensor:
    """Weight of each voxel of a window: falls towards the faces, where the network sees least."""
    ramps = [torch.minimum(torch.arange(n) + 1, n - torch.arange(n)).float() for n in window]
    return ramps[0][:, None, None] * ramps[1][:, None] * ramps[2] / math.prod(window)


def drop_specks(probabilities: Tensor, plan: Plan, smallest_mm3: float) -> Tensor:
    """Where the winning masses form a component smaller than allowed, let the runner-up win.

    Args:
        probabilities: (classes, X, Y, Z) on the working grid.
        plan: Names the classes.
        smallest_mm3: Volume that a component needs.

    Returns:
        The input when there is no speck; else a copy without them.
    """
    smallest = smallest_mm3 / math.prod(plan.spacing_mm)
    for index in np.flatnonzero(label_values(plan) == MASS).tolist():
        specks = _specks(probabilities.argmax(0) == index, smallest)
        if specks.any():
            probabilities = probabilities.clone()
            probabilities[index, specks] = 0
            probabilities /= probabilities.sum(0, keepdim=True)
    return probabilities


def _specks(mask: Tensor, smallest: float) -> Tensor:
    """Voxels of the mask's components that have fewer voxels than the smallest allowed."""
    found = torch.zeros_like(mask)
    box = mask_box(mask, (0, 0, 0))
    if box is not None:
        numbered, _ = components(mask[box].numpy())
        small = np.bincount(numbered.ravel()) < smallest
        small[0] = False
        found[box] = torch.from_numpy(small[numbered])
    return found


def _confidence(probabilities: Tensor, plan: Plan) -> dict[str, float]:
    best, winner = probabilities.max(0)
    masks = {name: winner == index for index, name in enumerate(plan.structures, start=1)}
    return {name: float(best[mask].mean()) for name, mask in masks.items() if mask.any()}
