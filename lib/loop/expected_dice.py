"""How good a propagated label is expected to be: a logistic curve over what the alignment left behind.

The rows are fitted on phantoms by ``python -m benchmarks.propagation --calibrate`` (docs/propagation.md says on which,
and how far off the expectation was on others). They are a ranking more than a promise on real images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a propagated label without the truth.

    Attributes:
        of_mass: Whether it is about the masses; else about the kidneys, because the label has no mass.
        information: Mutual information over the worst region that counts, in nats.
        inverse_error_mm: Largest inverse error of the regions that count.
        coarseness: Largest voxel edge of either image over the diameter of a ball of the structure's volume.
        agreement: Dice of everything carried and what the network proposes there, for people to read; None without a
            proposal, or without a kidney in the label, since the network's kidney would then count against it.
    """

    of_mass: bool
    information: float
    inverse_error_mm: float
    coarseness: float
    agreement: float | None

    def features(self) -> tuple[float, float, float, float]:
        """One, and the numbers that the rows weigh."""
        return 1.0, self.information, min(self.inverse_error_mm, _WORST_MM), min(self.coarseness, 1.0)


_WORST_MM = 10.0
# of the mass -> weights of Evidence.features
WEIGHTS: dict[bool, tuple[float, float, float, float]] = {
    True: (3.04, 0.0, -0.34, -4.94),
    False: (3.38, 0.0, -0.33, 0.0),
}


def expected_dice(evidence: Evidence) -> float:
    """Expected Dice of the masses, or of the kidneys, in 0 to 1."""
    total = sum(w * value for w, value in zip(WEIGHTS[evidence.of_mass], evidence.features(), strict=True))
    return 1 / (1 + math.exp(-total))
