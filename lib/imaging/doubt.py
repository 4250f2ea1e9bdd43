"""Evidence for or against a proposal, from the probability of mass alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from lib.domain.evidence import ProposalEvidence
from lib.imaging.calibration import Scaling


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MassVoxels:
    """The voxels of one image that are or might be mass.

    Attributes:
        probability: Of mass, as the network states it (n).
        number: Of the mass that a voxel is proposed as part of, from 1; 0 of those that are not proposed (n).
        voxel_ml: Volume of one voxel, in ml.
    """

    probability: NDArray[np.floating]
    number: NDArray[np.integer]
    voxel_ml: float


def weigh(voxels: MassVoxels, scaling: Scaling, kidneys: int | None = None) -> ProposalEvidence:
    """Sum up what the probabilities say about a proposal.

    Args:
        voxels: That are or might be mass.
        scaling: Restates their probability.
        kidneys: How many were found beforehand.
    """
    probability, proposed = scaling(voxels.probability), voxels.number > 0
    inside, outside = probability[proposed], probability[~proposed]
    size = len(inside) + float(probability.sum())
    return ProposalEvidence(
        masses=int(voxels.number.max(initial=0)),
        mass_ml=len(inside) * voxels.voxel_ml,
        overlap=2 * float(inside.sum()) / size if len(inside) else 0.0,
        confidence=float(inside.mean()) if len(inside) else 0.0,
        surest=float(probability.max(initial=0.0)),
        doubt_ml=float((entr(outside) + entr(1 - outside)).sum()) / np.log(2) * voxels.voxel_ml,
        kidneys=kidneys,
    )
