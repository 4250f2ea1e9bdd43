"""The rule that lets a challenger go live."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from lib.domain.records import CaseScore, PromotionDecision

_ROUNDING = 1e-9


def decide(champion: Sequence[CaseScore] | None, challenger: Sequence[CaseScore]) -> PromotionDecision:
    """Let the challenger go live only if its validation is not worse.

    Not worse means, on the same validation images: the mean Dice of the masses is not lower, neither is the mean
    over all structures, and no image with a mass is lost that the champion found.

    Args:
        champion: Scores of the model that serves; None when there is none.
        challenger: Scores of the new model.

    Raises:
        ValueError: When the two were not scored on the same images.
    """
    if not challenger:
        return PromotionDecision(promote=False, reason="no validation image: nothing shows that it is not worse")
    if champion is None:
        mean = _mean_dice(challenger)
        return PromotionDecision(promote=True, reason=f"first model of this sequence; mean validation Dice {mean:.3f}")
    if [score.image_id for score in champion] != [score.image_id for score in challenger]:
        msg = f"champion has {len(champion)} scores, challenger {len(challenger)}; expected the same images"
        raise ValueError(msg)
    lost = sum(bool(old.found) and not new.found for old, new in zip(champion, challenger, strict=True))
    if lost:
        return PromotionDecision(promote=False, reason=f"loses the mass on {lost} validation images")
    for name in ("mass", None):
        before, after = _mean_dice(champion, name), _mean_dice(challenger, name)
        if after < before - _ROUNDING:
            what = f"{name} Dice" if name else "Dice over all structures"
            return PromotionDecision(promote=False, reason=f"mean {what} fell from {before:.3f} to {after:.3f}")
    return PromotionDecision(
        promote=True, reason=f"mean validation Dice {_mean_dice(champion):.3f} before, {_mean_dice(challenger):.3f} now"
    )


def _mean_dice(scores: Sequence[CaseScore], name: str | None = None) -> float:
    """Mean over images and structures that either mask holds; 1.0 when no image holds any."""
    values = [
        value for score in scores for key, value in score.dice.items() if value is not None and name in (None, key)
    ]
    return fmean(values) if values else 1.0
