"""What fine-tuning learns from: the new scanner's labels, and enough old ones that those scanners are not forgotten."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lib.domain.records import LabelledImage

NEW_SHARE = 0.5  # of what is drawn in training
MOST_OLD = 60


def rehearsal(
    training: Sequence[LabelledImage],
    new: Collection[str],
    *,
    new_share: float = NEW_SHARE,
    most_old: int = MOST_OLD,
) -> list[LabelledImage]:
    """Choose old images, scanner by scanner in turn, and repeat the new ones until they are their share.

    Args:
        training: Of the training side, old and new.
        new: Ids of the new scanner's images.
        new_share: Share of the new scanner in the result, nearly; images are whole.
        most_old: At most so many old images.

    Returns:
        The new images, some of them several times, then the old ones; as given when either is missing.
    """
    own = [case for case in training if case.image_id in new]
    old = _in_turn([case for case in training if case.image_id not in new])[:most_old]
    if not own or not old:
        return [*own, *old]
    times = max(1, round(new_share * len(old) / ((1 - new_share) * len(own))))
    return [*own * times, *old]


def _in_turn(cases: Sequence[LabelledImage]) -> list[LabelledImage]:
    """One image of each scanner, then the next of each: a scanner with few images is not crowded out."""
    place: dict[str, int] = {}
    ranked = []
    for case in sorted(cases, key=lambda one: one.image_id):
        place[case.scanner] = place.get(case.scanner, -1) + 1
        ranked.append((place[case.scanner], case.scanner, case))
    return [case for *_, case in sorted(ranked, key=lambda one: one[:2])]
