"""Prediction: an image in, a label on the image's own voxels out.

Safe to call from several threads: nothing is changed after construction, and one lock lets a single image
through at a time, which bounds memory; torch spreads that one over the cores.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lib.domain.structures import BACKGROUND, MASS, STRUCTURES
from lib.imaging.geometry import from_canonical, to_canonical
from lib.imaging.lesions import components
from lib.imaging.volume import Volume
from lib.nets.grids import Box, Spacing, from_working, mask_box, to_working
from lib.nets.networks import LoadedWeights, Plan
from lib.nets.runtime import Runner, load_runner
from lib.nets.windows import class_probabilities
from lib.scoring.uncertainty import uncertainty

FindKidneys = Callable[[Tensor, Spacing], list[Box]]

_BOTH = 2
SMALLEST_MASS_MM3 = 60.0  # a sphere of 5 mm: smaller predicted masses are noise


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """A proposal for one image.

    Attributes:
        label: Values of the structure table, uint8, on the voxel axes of the image.
        certainty: Probability of the structure that each voxel is labelled as, float16, on the same axes; 0 elsewhere.
        confidence: Mean probability of the winning class over the voxels labelled as each structure, by name;
            only structures that were found.
        kidneys: How many were found beforehand.
        everywhere: Whether the whole field of view was searched, and not only around the kidneys.
        uncertainty: How unsure the network is of a structure, as ``lib.scoring.uncertainty`` measures it.
        seconds: Wall-clock time per stage.
    """

    label: Volume
    certainty: NDArray[np.float16]
    confidence: Mapping[str, float]
    kidneys: int
    everywhere: bool
    uncertainty: Mapping[str, float]
    seconds: Mapping[str, float]


class Predictor:
    """A trained network, ready to label images."""

    def __init__(
        self,
        weights: LoadedWeights,
        device: str = "auto",
        *,
        find: FindKidneys | None = None,
        smallest_mass_mm3: float = SMALLEST_MASS_MM3,
    ) -> None:
        """Build the network on its device.

        Args:
            weights: Trained state.
            device: ``"auto"``, or a torch device.
            find: Tells where the kidneys are; without it the whole field of view is searched.
            smallest_mass_mm3: Smaller predicted masses are dropped.

        Raises:
            BadWeightsError: When the state does not fit its plan.
        """
        self.plan = weights.plan
        self._network = load_runner(weights, device)
        self._find = find
        self._smallest_mass_mm3 = smallest_mass_mm3
        self._lock = Lock()

    def __call__(self, volume: Volume) -> Prediction:
        """Label one image.

        Raises:
            BadImageError: When the image holds intensities that are not finite.
        """
        with self._lock:
            return predict_volume(
                volume, self._network, self.plan, find=self._find, smallest_mass_mm3=self._smallest_mass_mm3
            )


@torch.inference_mode()
def predict_volume(
    volume: Volume,
    network: Runner,
    plan: Plan,
    *,
    find: FindKidneys | None = None,
    smallest_mass_mm3: float = SMALLEST_MASS_MM3,
) -> Prediction:
    """Label one image with any network that has the classes of the plan.

    The network looks only around the kidneys where ``find`` sees both; with fewer, one may have been missed, and it
    looks everywhere.

    Raises:
        BadImageError: When the image holds intensities that are not finite.
    """
    marks = [time.perf_counter()]
    canonical = to_canonical(volume)
    working = to_working(canonical, plan.spacing_mm)
    marks.append(time.perf_counter())
    found = find(working.image, plan.spacing_mm) if find else []
    boxes = found if len(found) >= _BOTH else []
    marks.append(time.perf_counter())
    probabilities = class_probabilities(working.image, network, plan, boxes=boxes)
    marks.append(time.perf_counter())
    doubt = uncertainty(probabilities.numpy(), plan.structures, plan.spacing_mm)
    probabilities = drop_specks(probabilities, plan, smallest_mass_mm3)
    classes, certainty = from_working(probabilities, working, canonical, plan.spacing_mm)
    data = from_canonical(label_values(plan)[classes.numpy()], volume)
    sure = from_canonical(certainty.numpy(), volume)
    marks.append(time.perf_counter())
    took = (after - before for before, after in itertools.pairwise(marks))
    return Prediction(
        label=Volume(data=data, affine=volume.affine),
        certainty=sure,
        confidence=_confidence(probabilities, plan),
        kidneys=len(found),
        everywhere=not boxes,
        uncertainty=doubt,
        seconds=dict(zip(("prepare", "find", "network", "restore"), took, strict=True)),
    )


def label_values(plan: Plan) -> NDArray[np.uint8]:
    """Label value of each class of a plan."""
    return np.array([BACKGROUND, *(STRUCTURES[name].value for name in plan.structures)], dtype=np.uint8)


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
        box = mask_box(probabilities[index] >= 1 / len(probabilities), (0, 0, 0))  # elsewhere no mass can win
        if box is None:
            continue
        specks = _specks(probabilities[:, *box].argmax(0) == index, smallest)
        if specks.any():
            probabilities = probabilities.clone()
            inside = probabilities[:, *box]  # a view
            inside[index, specks] = 0
            inside[:, specks] /= inside[:, specks].sum(0)
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
