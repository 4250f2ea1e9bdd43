"""What has been labelled least comes first: every centre, scanner, sequence and size gets its share."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Sequence

from lib.domain.records import Candidate, Priority
from lib.evaluation.assemble import number_in
from lib.evaluation.levels import UNKNOWN, size_level

Cell = tuple[str, str, str, str]


def by_coverage(
    candidates: Sequence[Candidate],
    labelled: Sequence[Candidate],
    generator: random.Random,  # noqa: ARG001 - every order takes the same
) -> list[Priority]:
    """Order by how many labels the image's centre, scanner, sequence and size of mass have.

    Ties are broken by a hash of the image's id: any order, but the same each time, so that what comes next can be
    prepared.

    Args:
        candidates: Images without a label.
        labelled: Images with one.
        generator: Not used.
    """
    counts = Counter(map(_cell, labelled))
    ranked = sorted((counts[_cell(case)], shuffled(case.image_id), number) for number, case in enumerate(candidates))
    return [_priority(candidates[number], count) for count, _, number in ranked]


def shuffled(text: str) -> bytes:
    """A place that has nothing to do with the text's own order, and is always the same."""
    return hashlib.sha256(text.encode()).digest()


def _priority(case: Candidate, count: int) -> Priority:
    return Priority(image_id=case.image_id, patient_id=case.patient_id, reason=_reason(case, count))


def _cell(case: Candidate) -> Cell:
    return case.centre, case.scanner, case.sequence, size_level(number_in(case.size))


def _reason(case: Candidate, count: int) -> str:
    *_, size = _cell(case)
    told = (
        case.scanner,
        f"centre {case.centre}" if case.centre else "",
        f"a mass of {size}" if size != UNKNOWN else "",
    )
    where = ", ".join(name for name in told if name)
    return f"least labelled so far: {count} labels of {case.sequence}{f' from {where}' if where else ''}"
