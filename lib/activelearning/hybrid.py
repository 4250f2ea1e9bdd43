"""Several orders at once: each gives an image points for its rank, and the sum decides (reciprocal rank fusion)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from lib.activelearning.coverage import by_coverage
from lib.activelearning.disagreement import by_disagreement
from lib.activelearning.uncertainty import by_uncertainty
from lib.domain.records import Candidate, Priority

FUSED = {"uncertainty": by_uncertainty, "coverage": by_coverage, "disagreement": by_disagreement}
_CALM = 60  # added to every rank, so that one first place does not decide alone (Cormack et al., SIGIR 2009)


def by_all(candidates: Sequence[Candidate], labelled: Sequence[Candidate], generator: random.Random) -> list[Priority]:
    """Order by the sum of 1 / (60 + rank) over uncertainty, coverage and disagreement.

    The reason is that of the order in which the image stands best, with its ranks in all of them.

    Args:
        candidates: Images without a label.
        labelled: Images with one.
        generator: Passed on to every order.
    """
    points: dict[str, float] = defaultdict(float)
    best: dict[str, tuple[int, Priority]] = {}
    ranks: dict[str, list[str]] = defaultdict(list)
    for name, order in FUSED.items():
        for rank, case in enumerate(order(candidates, labelled, generator), start=1):
            points[case.image_id] += 1 / (_CALM + rank)
            ranks[case.image_id].append(f"{name} {rank}")
            if case.image_id not in best or rank < best[case.image_id][0]:
                best[case.image_id] = rank, case
    chosen = sorted(points, key=lambda image: (-points[image], image))
    return [
        Priority(
            image_id=image,
            patient_id=best[image][1].patient_id,
            reason=f"{best[image][1].reason}; ranks: {', '.join(ranks[image])}",
        )
        for image in chosen
    ]
