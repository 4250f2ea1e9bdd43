"""Any order: what every other one is compared with.

A case keeps its place while others are labelled, so that what comes next can be prepared.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from lib.domain.records import Candidate, Priority


def at_random(
    candidates: Sequence[Candidate],
    labelled: Sequence[Candidate],  # noqa: ARG001 - every order takes the same
    generator: random.Random,
) -> list[Priority]:
    """Draw lots: the same source of chance in the same state gives each case the same one, whatever else waits.

    Args:
        candidates: Images without a label.
        labelled: Images with one.
        generator: Source of chance.
    """
    salt = generator.random()
    mixed = sorted(candidates, key=lambda case: hashlib.sha256(f"{salt} {case.image_id}".encode()).digest())
    return [Priority(image_id=case.image_id, patient_id=case.patient_id, reason="drawn at random") for case in mixed]
