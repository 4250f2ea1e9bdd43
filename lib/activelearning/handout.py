"""Who gets which case next: a patient's sequences together, and never what somebody else is labelling."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from lib.domain.records import Priority


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
    patient_of = {case.image_id: case.patient_id for case in queue}
    busy = {patient_of[image] for image, who in holders.items() if who != holder and image in patient_of}

    def rank(case: Priority) -> tuple[bool, bool, bool, bool]:
        mine = case.patient_id in open_patients
        return (
            case.image_id in holders,
            case.image_id in skipped_by_others,
            not mine,
            case.patient_id in busy and not mine,
        )

    free = [case for case in queue if holders.get(case.image_id, holder) == holder and case.image_id not in skipped]
    chosen = min(free, key=rank, default=None)
    if chosen is not None and chosen.patient_id in open_patients:
        return replace(chosen, reason="another sequence of the patient who is open")
    return chosen
