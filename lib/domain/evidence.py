"""What is known of a proposal without the truth."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalEvidence:
    """How sure the network is of the masses that it proposes, and of there being no others.

    Attributes:
        masses: How many are proposed.
        mass_ml: Their volume, in ml.
        overlap: Dice that the probabilities themselves expect of them: twice what is expected to be right of them, over
            their volume and the expected volume of all masses together; 0 without a mass.
        confidence: Mean probability of their voxels; 0 without a mass.
        surest: The highest probability of a mass anywhere.
        doubt_ml: Entropy outside of them, in bits, summed over the volume in ml: large where much might be mass.
        kidneys: How many were found beforehand; None when nobody looked.
    """

    masses: int
    mass_ml: float
    overlap: float
    confidence: float
    surest: float
    doubt_ml: float
    kidneys: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MassEvidence:
    """What is known of one proposed mass without the truth.

    Attributes:
        probability: Mean calibrated probability of its voxels.
        volume_ml: Its volume, in ml.
    """

    probability: float
    volume_ml: float
