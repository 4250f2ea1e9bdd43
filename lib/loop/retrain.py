"""One training run, from labels to a verdict: split by patient, train, score both, let the better one serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.domain.errors import NotEnoughLabelsError
from lib.domain.records import CaseScore, LabelledImage, PromotionDecision
from lib.loop.splits import DEFAULT_SALT, Side, side_of
from lib.registry.promotion import decide

Train = Callable[[Sequence[LabelledImage], Sequence[LabelledImage]], Path]
Score = Callable[[Path, Sequence[LabelledImage]], list[CaseScore]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainResult:
    """What a run did: how many images it saw, and the verdict."""

    trained_on: int
    validated_on: int
    challenger: Sequence[CaseScore]
    decision: PromotionDecision


def retrain(
    cases: Sequence[LabelledImage],
    *,
    champion: Path | None,
    train: Train,
    score: Score,
    publish: Callable[[Path], None],
    salt: str = DEFAULT_SALT,
) -> RetrainResult:
    """Train a challenger and let it serve only if its validation is not worse.

    Args:
        cases: Final labels of one sequence.
        champion: Weights that serve now, or None.
        train: Fits on (train, validation) images and returns the challenger's weight file.
        score: Scores a weight file on images.
        publish: Puts a weight file in the champion's place, atomically.
        salt: Of the patient split.

    Raises:
        NotEnoughLabelsError: When either side of the split has no labelled patient.
    """
    chosen = {side: images_on(cases, side, salt) for side in ("train", "validation")}
    for side, images in chosen.items():
        if not images:
            msg = f"{len(cases)} labelled images, none of a patient on the {side} side; expected at least one"
            raise NotEnoughLabelsError(msg)
    challenger = train(chosen["train"], chosen["validation"])
    before = score(champion, chosen["validation"]) if champion else None
    after = score(challenger, chosen["validation"])
    decision = decide(before, after)
    if decision.promote:
        publish(challenger)
    return RetrainResult(
        trained_on=len(chosen["train"]), validated_on=len(chosen["validation"]), challenger=after, decision=decision
    )


def images_on(cases: Sequence[LabelledImage], side: Side, salt: str = DEFAULT_SALT) -> list[LabelledImage]:
    """Images of the patients on one side of the split."""
    return [case for case in cases if side_of(case.patient_id, salt) == side]
