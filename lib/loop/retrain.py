"""One training run, from labels to a verdict: split by patient, train, judge both on the holdout.

Training patients teach, validation patients choose the best weights of the run, and the holdout judges: it is shown to
both models only after the challenger is final.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lib.domain.errors import NotEnoughLabelsError
from lib.domain.records import CaseScore, LabelledImage, PromotionDecision
from lib.loop.splits import DEFAULT_SALT, Side, side_of
from lib.registry.promotion import DEFAULT_RULE, GateRule, decide

Train = Callable[[Sequence[LabelledImage], Sequence[LabelledImage]], Path]
Score = Callable[[Path, Sequence[LabelledImage]], list[CaseScore]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainResult:
    """What a run did: how many images it saw, and the verdict.

    Attributes:
        challenger: The new model's scores on the holdout.
    """

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
    salt: str = DEFAULT_SALT,
    rule: GateRule = DEFAULT_RULE,
    champion_scanners: Collection[str] | None = None,
) -> RetrainResult:
    """Train a challenger and judge it; whoever calls lets it serve if the decision says so.

    Args:
        cases: Final labels of one sequence.
        champion: Weights that serve now, or None.
        train: Fits on (train, validation) images and returns the challenger's weight file.
        score: Scores a weight file on images.
        salt: Of the patient split.
        rule: Of the gate.
        champion_scanners: Scanners that the champion was trained on; None when that was not recorded.

    Raises:
        NotEnoughLabelsError: When training or validation has no labelled patient; an empty holdout lets the
            challenger wait.
    """
    chosen = {side: images_on(cases, side, salt) for side in ("train", "validation")}
    for side, images in chosen.items():
        if not images:
            msg = f"{len(cases)} labelled images, none of a patient on the {side} side; expected at least one"
            raise NotEnoughLabelsError(msg)
    challenger = train(chosen["train"], chosen["validation"])
    holdout = images_on(cases, "holdout", salt)
    before = score(champion, holdout) if champion else None
    after = score(challenger, holdout)
    new_scanners = scanners(chosen["train"]) - frozenset(champion_scanners) if champion_scanners is not None else ()
    decision = replace(
        decide(before, after, rule, new_scanners=new_scanners),
        patients_sha256=_sha256({case.patient_id for case in holdout}),
        labels_sha256=_sha256(f"{case.image_id} {case.label_sha256}" for case in holdout),
    )
    return RetrainResult(
        trained_on=len(chosen["train"]), validated_on=len(chosen["validation"]), challenger=after, decision=decision
    )


def scanners(cases: Sequence[LabelledImage]) -> frozenset[str]:
    """Scanners that images come from, as far as they are known."""
    return frozenset(case.scanner for case in cases if case.scanner)


def _sha256(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def images_on(cases: Sequence[LabelledImage], side: Side, salt: str = DEFAULT_SALT) -> list[LabelledImage]:
    """Images of the patients on one side of the split."""
    return [case for case in cases if side_of(case.patient_id, salt) == side]
