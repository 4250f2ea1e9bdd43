"""Rehearsal: how often a run that starts from trained weights sees again what those weights have learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lib.domain.records import LabelledImage


def rehearsed(
    cases: Sequence[LabelledImage], is_earlier: Callable[[LabelledImage], bool], share: float
) -> list[LabelledImage]:
    """Weigh cases so that the earlier ones make up a share of what is seen, and never more than they are of all.

    Few new labels would drown among many earlier ones; without the earlier ones the network would forget them.

    Args:
        cases: New and earlier.
        is_earlier: Whether the starting weights have learned from a case.
        share: Of the patches that come from the earlier ones, 0 to 1.

    Returns:
        The same cases in order, with weights of mean 1; unchanged when they are all new, or all earlier.

    Raises:
        ValueError: When the share is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        msg = f"the share of rehearsal is {share!r}; expected 0 to 1"
        raise ValueError(msg)
    old = sum(is_earlier(case) for case in cases)
    if old in {0, len(cases)}:
        return list(cases)
    part = min(share, old / len(cases))
    of_old, of_new = part * len(cases) / old, (1 - part) * len(cases) / (len(cases) - old)
    return [replace(case, weight=case.weight * (of_old if is_earlier(case) else of_new)) for case in cases]
