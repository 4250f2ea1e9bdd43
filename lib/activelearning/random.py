"""Any order: what every other one is compared with."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from lib.domain.records import Candidate, Priority


def at_random(
    candidates: Sequence[Candidate],
    labelled: Mapping[tuple[str, str, str], int],  # noqa: ARG001 - every order takes the same
    generator: random.Random,
) -> list[Priority]:
    """Shuffle.

    Args:
        candidates: Images without a label.
        labelled: Number of labels per (centre, scanner, sequence).
        generator: Source of chance.
    """
    shuffled = list(candidates)
    generator.shuffle(shuffled)
    return [Priority(image_id=case.image_id, patient_id=case.patient_id, reason="drawn at random") for case in shuffled]
