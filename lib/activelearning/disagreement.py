"""Patients whose sequences contradict each other come first: at least one of the proposals on them is wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lib.activelearning.coverage import by_coverage
from lib.domain.records import Candidate, Priority


def by_disagreement(
    candidates: Sequence[Candidate], labelled: Sequence[Candidate], generator: random.Random
) -> list[Priority]:
    """Order by how much of a proposal has no counterpart on the patient's other sequences; unmeasured images last.

    Args:
        candidates: Images without a label.
        labelled: Images with one.
        generator: Passed on to the order of what was not measured.
    """
    measured = [case for case in candidates if case.disagreement]
    ranked = sorted(measured, key=lambda case: (-sum(case.disagreement.values()), case.image_id))
    chosen = [
        Priority(image_id=case.image_id, patient_id=case.patient_id, reason=_reason(case, place, len(ranked)))
        for place, case in enumerate(ranked, start=1)
    ]
    rest = by_coverage([case for case in candidates if not case.disagreement], labelled, generator)
    return [*chosen, *rest]


def _reason(case: Candidate, place: int, among: int) -> str:
    parts = " and ".join(f"{share:.0%} of the {name}" for name, share in case.disagreement.items())
    return (
        f"the patient's sequences contradict each other: {parts} is not there on the others, place {place} of {among}"
    )
