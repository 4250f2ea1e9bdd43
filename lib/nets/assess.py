"""How far a trained network can be trusted: what it says of labelled images, beside the truth.

Works on the working grid, with the same windows, mirroring and speck removal as a proposal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lib.domain.evidence import MassEvidence, ProposalEvidence
from lib.imaging.calibration import IN_PLAY, Scaling, fit_scaling
from lib.imaging.doubt import MassVoxels, weigh
from lib.nets.cases import ReadyCase
from lib.nets.grids import Box
from lib.nets.networks import Plan
from lib.nets.predict import drop_specks, mass_numbers, searched
from lib.nets.runtime import Runner
from lib.nets.scalings import Scalings
from lib.nets.windows import class_probabilities


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One labelled image's voxels that are in play, or are a structure.

    Attributes:
        probability: Of each structure of the plan (structures, n), float16.
        winner: Class proposed (n).
        truth: Class of the label (n).
        number: Of the mass that a voxel is proposed as part of, from 1; else 0 (n).
        drawn: Structures that the reader drew.
        structures: Of the plan.
        voxel_ml: Volume of one voxel, in ml.
        kidneys: How many were found beforehand; None when nobody looked.
    """

    probability: NDArray[np.float16]
    winner: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    number: NDArray[np.int16]
    drawn: frozenset[str]
    structures: tuple[str, ...]
    voxel_ml: float
    kidneys: int | None = None

    @property
    def has_mass(self) -> bool:
        """Whether something can be said of the masses: the network knows them, and the reader drew them."""
        return "mass" in self.structures and "mass" in self.drawn

    @property
    def dice(self) -> float:
        """Dice of the masses; 1 where none is proposed and there is none."""
        index = self.structures.index("mass") + 1
        proposed, true = self.winner == index, self.truth == index
        size = int(proposed.sum() + true.sum())
        return 2 * int((proposed & true).sum()) / size if size else 1.0

    def evidence(self, scalings: Scalings) -> ProposalEvidence:
        """Sum up what the probabilities say of the proposed masses."""
        probability = self.probability[self.structures.index("mass")]
        voxels = (probability >= IN_PLAY) | (self.number > 0)
        about = MassVoxels(probability=probability[voxels], number=self.number[voxels], voxel_ml=self.voxel_ml)
        return weigh(about, scalings.get("mass", Scaling()), self.kidneys)

    def masses(self, scalings: Scalings) -> list[tuple[MassEvidence, float]]:
        """Sum up each proposed mass, with the share of it that is right."""
        index = self.structures.index("mass")
        probability = scalings.get("mass", Scaling())(self.probability[index])
        found = []
        for number in range(1, int(self.number.max(initial=0)) + 1):
            mass = self.number == number
            volume_ml = int(mass.sum()) * self.voxel_ml
            evidence = MassEvidence(probability=float(probability[mass].mean()), volume_ml=volume_ml)
            found.append((evidence, float((self.truth[mass] == index + 1).mean())))
        return found

    def stated(self, structure: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Probability of a structure in the voxels where it is in play, and where it is true."""
        index = self.structures.index(structure)
        probability = self.probability[index].astype(np.float64)
        voxels = probability >= IN_PLAY
        return probability[voxels], self.truth[voxels] == index + 1


@torch.inference_mode()
def take_sample(
    case: ReadyCase, network: Runner, plan: Plan, smallest_mm3: float, boxes: Sequence[Box] | None = None
) -> Sample:
    """Let a network propose for a labelled image, and keep what tells how far it can be trusted.

    Args:
        case: On the working grid.
        network: Runs the plan's network.
        plan: Its plan.
        smallest_mm3: Volume that a mass needs.
        boxes: Around the kidneys that were found; None when nobody looked.
    """
    stated = class_probabilities(case.image.float(), network, plan, boxes=searched(boxes or ()))
    kept = drop_specks(stated, plan, smallest_mm3)
    truth = case.label.numpy()
    play = (stated[1:] >= IN_PLAY).any(0).numpy() | (truth > 0)
    return Sample(
        probability=stated.numpy()[1:, play].astype(np.float16),
        winner=kept.argmax(0).numpy()[play].astype(np.uint8),
        truth=truth[play].astype(np.uint8),
        number=mass_numbers(kept, plan)[play].astype(np.int16),
        drawn=case.drawn,
        structures=plan.structures,
        voxel_ml=math.prod(plan.spacing_mm) / 1000,
        kidneys=None if boxes is None else len(boxes),
    )


def fit_scalings(samples: Sequence[Sample]) -> dict[str, Scaling]:
    """Fit one scaling per structure that is true somewhere, over the images in which it was drawn."""
    found = {}
    for name in samples[0].structures if samples else ():
        pairs = [sample.stated(name) for sample in samples if name in sample.drawn]
        if any(truth.any() for _, truth in pairs):
            probability, truth = (np.concatenate(column) for column in zip(*pairs, strict=True))
            found[name] = fit_scaling(probability, truth, len(pairs))
    return found
