"""Prediction: an image in, a label on the image's own voxels out.

Safe to call from several threads: nothing is changed after construction, and one lock lets a single image
through at a time, which bounds memory; torch spreads that one over the cores.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lib.domain.evidence import ProposalEvidence
from lib.domain.structures import BACKGROUND, MASS, STRUCTURES
from lib.imaging.calibration import IN_PLAY, Scaling
from lib.imaging.doubt import MassVoxels, weigh
from lib.imaging.geometry import from_canonical, to_canonical
from lib.imaging.lesions import components
from lib.imaging.volume import Volume
from lib.nets.grids import Box, Spacing, from_working, mask_box, to_working
from lib.nets.networks import LoadedWeights, Plan
from lib.nets.runtime import Runner, load_runner
from lib.nets.scalings import Scalings, scalings_of
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
        certainty: Calibrated probability of the structure that each voxel is labelled as, float16, on the same axes; 0
            elsewhere.
        confidence: Mean calibrated probability over the voxels labelled as each structure, by name; only structures
            that were found.
        evidence: How sure the network is of the masses.
        kidneys: How many were found beforehand.
        everywhere: Whether the whole field of view was searched, and not only around the kidneys.
        uncertainty: How unsure the network is of a structure, as ``lib.scoring.uncertainty`` measures it.
        seconds: Wall-clock time per stage.
    """

    label: Volume
    certainty: NDArray[np.float16]
    confidence: Mapping[str, float]
    evidence: ProposalEvidence
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
            BadWeightsError: When the state does not fit its plan, or the calibration cannot be read.
        """
        self.plan = weights.plan
        self._network = load_runner(weights, device)
        self._scalings = scalings_of(weights.notes)
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
                volume,
                self._network,
                self.plan,
                find=self._find,
                smallest_mass_mm3=self._smallest_mass_mm3,
                scalings=self._scalings,
            )


@torch.inference_mode()
def predict_volume(
    volume: Volume,
    network: Runner,
    plan: Plan,
    *,
    find: FindKidneys | None = None,
    smallest_mass_mm3: float = SMALLEST_MASS_MM3,
    scalings: Scalings | None = None,
) -> Prediction:
    """Label one image with any network that has the classes of the plan.

    The label does not depend on the scalings, which restate how probable it is.

    Raises:
        BadImageError: When the image holds intensities that are not finite.
    """
    marks = [time.perf_counter()]
    canonical = to_canonical(volume)
    working = to_working(canonical, plan.spacing_mm)
    marks.append(time.perf_counter())
    found = find(working.image, plan.spacing_mm) if find else []
    boxes = searched(found)
    marks.append(time.perf_counter())
    stated = class_probabilities(working.image, network, plan, boxes=boxes)
    marks.append(time.perf_counter())
    doubt = uncertainty(stated.numpy(), plan.structures, plan.spacing_mm)
    probabilities = drop_specks(stated, plan, smallest_mass_mm3)
    known = scalings or {}
    evidence = weigh(
        mass_voxels(stated, probabilities, plan), known.get("mass", Scaling()), len(found) if find else None
    )
    classes, certainty = from_working(probabilities, working, canonical, plan.spacing_mm)
    data = from_canonical(label_values(plan)[classes.numpy()], volume)
    sure = restated(from_canonical(certainty.numpy(), volume), data, known)
    marks.append(time.perf_counter())
    took = (after - before for before, after in itertools.pairwise(marks))
    return Prediction(
        label=Volume(data=data, affine=volume.affine),
        certainty=sure,
        confidence=_confidence(sure, data, plan),
        evidence=evidence,
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


def searched(found: Sequence[Box]) -> Sequence[Box]:
    """Where to look: around the kidneys when both were found; with fewer, one may have been missed: everywhere."""
    return found if len(found) >= _BOTH else ()


def mass_numbers(probabilities: Tensor, plan: Plan) -> NDArray[np.int32]:
    """Number the voxels where mass wins by the mass that they are part of, from 1; 0 elsewhere."""
    (index,) = np.flatnonzero(label_values(plan) == MASS).tolist() or [-1]
    wins = probabilities.argmax(0) == index
    numbers = np.zeros(tuple(wins.shape), np.int32)
    box = mask_box(wins, (0, 0, 0))
    if box is not None:
        numbers[box], _ = components(wins[box].numpy())
    return numbers


def mass_voxels(stated: Tensor, kept: Tensor, plan: Plan) -> MassVoxels:
    """Pick the voxels that are or might be mass.

    Args:
        stated: Probabilities (classes, X, Y, Z), as the network states them.
        kept: The same without specks.
        plan: Names the classes.
    """
    probability = stated[plan.structures.index("mass") + 1] if "mass" in plan.structures else torch.zeros(0, 0, 0)
    box = mask_box(probability >= IN_PLAY, (0, 0, 0)) or (slice(0), slice(0), slice(0))
    near = probability[box].numpy()
    voxels = near >= IN_PLAY
    return MassVoxels(
        probability=near[voxels],
        number=mass_numbers(kept[:, *box], plan)[voxels],
        voxel_ml=math.prod(plan.spacing_mm) / 1000,
    )


def restated(certainty: NDArray[np.float16], label: NDArray[np.uint8], scalings: Scalings) -> NDArray[np.float16]:
    """Restate how probable each labelled voxel is, in place."""
    for name, scaling in scalings.items():
        where = label == STRUCTURES[name].value
        certainty[where] = scaling(certainty[where])
    return certainty


def _confidence(certainty: NDArray[np.float16], label: NDArray[np.uint8], plan: Plan) -> dict[str, float]:
    masks = {name: label == STRUCTURES[name].value for name in plan.structures}
    return {name: float(certainty[mask].mean(dtype=float)) for name, mask in masks.items() if mask.any()}
