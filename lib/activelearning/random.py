"""Any order: what every other one is compared with."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lib.domain.records import Candidate, Priority


def at_random(
    candidates: Sequence[Candidate],
    labelled: Sequence[Candidate],  # noqa: ARG001 - every order takes the same
    generator: random.Random,
) -> list[Priority]:
    """Shuffle.

    Args:
        candidates: Images without a label.
        labelled: Images with one.
        generator: Source of chance.
    """
    mixed = list(candidates)
    generator.shuffle(mixed)
    return [Priority(image_id=case.image_id, patient_id=case.patient_id, reason="drawn at random") for case in mixed]
