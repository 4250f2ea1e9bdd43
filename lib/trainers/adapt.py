"""Fine-tune one sequence's network to a new scanner, with rehearsal, and hold it before the gate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from lib.domain.records import CaseScore, EpochReport, LabelledImage, PromotionDecision
from lib.domain.sequences import get_sequence
from lib.loop.retrain import retrain, scanners
from lib.loop.splits import DEFAULT_SALT
from lib.nets.trainee import FitSettings
from lib.registry.changes import GATE, Registry
from lib.registry.promotion import DEFAULT_RULE, GateRule
from lib.trainers.challenger import Challenger
from lib.trainers.progress import progress_line

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """What fine-tuning gave: both models' scores on the same holdout images, and the verdict.

    Attributes:
        taught: Images of the new scanner that it learned from.
        rehearsed: Images of the old scanners that it learned from.
    """

    code: str
    version: str
    taught: int
    rehearsed: int
    before: Sequence[CaseScore]
    after: Sequence[CaseScore]
    decision: PromotionDecision


class _Watched:
    """A challenger, with what it learned from and every score that was asked for."""

    def __init__(self, challenger: Challenger) -> None:
        self._challenger = challenger
        self.learned: Sequence[LabelledImage] = ()
        self.scores: dict[Path, list[CaseScore]] = {}

    def train(self, training: Sequence[LabelledImage], validation: Sequence[LabelledImage]) -> Path:
        self.learned = training
        return self._challenger.train(training, validation)

    def score(self, weights: Path, images: Sequence[LabelledImage]) -> list[CaseScore]:
        self.scores[weights] = self._challenger.score(weights, images)
        return self.scores[weights]


def adapt(
    code: str,
    cases: Sequence[LabelledImage],
    new: Collection[str],
    registry: Registry,
    settings: FitSettings,
    *,
    salt: str = DEFAULT_SALT,
    gate: GateRule = DEFAULT_RULE,
    promote: bool = False,
    on_epoch: Callable[[EpochReport], None] = lambda report: logger.info(progress_line(report)),
) -> Adaptation:
    """Continue from the weights that serve, on the new scanner's labels, half of what is seen, and the old ones.

    Args:
        code: Sequence.
        cases: Final labels of the sequence, old and new scanners.
        new: Ids of the new scanner's images.
        registry: The version goes on record there; it serves only with ``promote``, and only if the gate lets it.
        settings: Of the fit.
        salt: Of the patient split.
        gate: Which challenger is good enough; the new scanner is a stratum of its own.
        promote: Whether an accepted version goes live.
        on_epoch: Told after every epoch.

    Raises:
        UnknownModelError: When no weights serve the sequence yet.
        NotEnoughLabelsError: When a side of the split has no labelled image.
    """
    version = f"{code}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    champion = registry.models.champion(code)
    old = frozenset(case.image_id for case in cases if case.image_id not in new)
    challenger = Challenger(get_sequence(code), version, registry.models, settings, on_epoch, old)
    watched = _Watched(challenger)
    result = retrain(
        cases,
        champion=champion,
        train=watched.train,
        score=watched.score,
        salt=salt,
        rule=gate,
        champion_scanners=challenger.start.scanners or scanners([case for case in cases if case.image_id in old]),
    )
    registry.add(code, version, challenger.record(()), asdict(result.decision))
    if promote and result.decision.promote:
        registry.promote(version, who=GATE, reason=result.decision.reason)
    taught = sum(case.image_id in new for case in watched.learned)
    return Adaptation(
        code=code,
        version=version,
        taught=taught,
        rehearsed=len(watched.learned) - taught,
        before=watched.scores[champion],
        after=result.challenger,
        decision=result.decision,
    )
