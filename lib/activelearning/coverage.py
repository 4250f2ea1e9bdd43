"""What has been labelled least comes first: every centre, scanner and sequence gets its share."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence

from lib.domain.records import Candidate, Priority


def by_coverage(
    candidates: Sequence[Candidate],
    labelled: Mapping[tuple[str, str, str], int],
    generator: random.Random,  # noqa: ARG001 - every order takes the same
) -> list[Priority]:
    """Order by how many labels the image's centre, scanner and sequence have.

    Ties are broken by a hash of the image's id: any order, but the same each time, so that what comes next can be
    prepared.

    Args:
        candidates: Images without a label.
        labelled: Number of labels per (centre, scanner, sequence).
        generator: Not used.
    """
    ranked = sorted((labelled.get(_cell(case), 0), _shuffled(case), case.image_id, case) for case in candidates)
    return [
        Priority(image_id=case.image_id, patient_id=case.patient_id, reason=_reason(case, count))
        for count, _, _, case in ranked
    ]


def _shuffled(case: Candidate) -> bytes:
    return hashlib.sha256(case.image_id.encode()).digest()


def _cell(case: Candidate) -> tuple[str, str, str]:
    return case.centre, case.scanner, case.sequence


def _reason(case: Candidate, count: int) -> str:
    where = ", ".join(name for name in (case.scanner, f"centre {case.centre}" if case.centre else "") if name)
    return f"least labelled so far: {count} labels of {case.sequence}{f' from {where}' if where else ''}"
