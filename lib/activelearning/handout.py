"""Who gets which case next: a patient's sequences together, and never what somebody else is labelling."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from lib.domain.records import Priority

Rank = tuple[bool, bool, bool, bool]


def pick(
    queue: Sequence[Priority],
    *,
    holder: str,
    holders: Mapping[str, str],
    open_patients: Collection[str] = (),
    skipped: Collection[str] = (),
    skipped_by_others: Collection[str] = (),
) -> Priority | None:
    """Choose the next case of one reader; None when nothing is left for them.

    First come the other sequences of a patient whom this reader has open, then patients whom nobody has open, then
    the rest; what others skipped comes after what nobody did. What somebody else holds and what this reader skipped
    never come; what this reader already holds comes last.

    Args:
        queue: Images without a label, the most useful first.
        holder: Who asks.
        holders: Who is labelling an image, by image id.
        open_patients: Patients of whom this reader holds, or has just labelled, an image.
        skipped: Images that this reader skipped.
        skipped_by_others: Images that only others skipped.
    """
    others = {image for image, who in holders.items() if who != holder}
    busy = {case.patient_id for case in queue if case.image_id in others} if others else set()

    def rank(case: Priority) -> Rank:
        mine = case.patient_id in open_patients
        return (
            case.image_id in holders,
            case.image_id in skipped_by_others,
            not mine,
            case.patient_id in busy and not mine,
        )

    free = (case for case in queue if case.image_id not in others and case.image_id not in skipped)
    chosen = _first_of_the_best(free, rank, (False, False, not open_patients, False))
    if chosen is not None and chosen.patient_id in open_patients:
        return replace(chosen, reason="another sequence of the patient who is open")
    return chosen


def _first_of_the_best(cases: Iterable[Priority], rank: Callable[[Priority], Rank], best: Rank) -> Priority | None:
    """What ``min`` would give, without looking further once nothing can be better."""
    chosen: tuple[Rank, Priority] | None = None
    for case in cases:
        found = rank(case)
        if chosen is None or found < chosen[0]:
            chosen = found, case
            if found <= best:
                break
    return chosen[1] if chosen else None
