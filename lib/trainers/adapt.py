"""Fine-tune one sequence's network to a new scanner, with rehearsal, and hold it before the gate."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from lib.domain.records import CaseScore, EpochReport, LabelledImage, PromotionDecision
from lib.loop.retrain import retrain, scanners
from lib.loop.splits import DEFAULT_SALT
from lib.nets.find import load_finder
from lib.nets.fit import fit
from lib.nets.networks import load_weights, save_weights
from lib.nets.score import score_images
from lib.nets.trainee import FitSettings
from lib.onboarding.rehearsal import rehearsal
from lib.registry.changes import GATE, Registry
from lib.registry.models import FINDER
from lib.registry.promotion import DEFAULT_RULE, GateRule
from lib.trainers.described import describe_training
from lib.trainers.progress import progress_line
from lib.trainers.provenance import labels_used, training_run
from lib.trainers.sequence import SCANNERS, trained_scanners

logger = logging.getLogger(__name__)

GENTLE = 5e-4  # peak learning rate: a quarter of that of training from the start


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
    """Continue from the weights that serve, on the new scanner's labels and as many of the old ones.

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
    models, version = registry.models, f"{code}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    champion = models.champion(code)
    start = load_weights(champion)
    known = trained_scanners(start)
    old = frozenset(known or scanners([case for case in cases if case.image_id not in new]))
    find = load_finder(models.find(FINDER), settings.device)
    reports: list[EpochReport] = []
    learned: list[LabelledImage] = []
    watched: list[LabelledImage] = []
    scores: dict[Path, list[CaseScore]] = {}
    began = time.monotonic()

    def follow(report: EpochReport) -> None:
        reports.append(report)
        on_epoch(report)

    def train(training: Sequence[LabelledImage], validation: Sequence[LabelledImage]) -> Path:
        mixed = rehearsal(training, new)
        learned.extend(dict.fromkeys(mixed))
        watched.extend(validation)
        result = fit(
            mixed,
            validation,
            start.plan,
            settings,
            start_from=start,
            checkpoint=models.folder(code) / "onboard.checkpoint",
            on_epoch=follow,
        )
        notes = {
            "version": version,
            "started_from": start.notes.get("version", "unknown"),
            "trained_on": str(len(learned)),
            SCANNERS: json.dumps(sorted(scanners(learned) | old)),
        }
        path = models.weights(code, version)
        save_weights(path, result.state, result.plan, notes)
        describe_training(models, code, version, learned)
        return path

    def score(weights: Path, images: Sequence[LabelledImage]) -> list[CaseScore]:
        scores[weights] = score_images(load_weights(weights), images, settings.device, find=find)
        return scores[weights]

    result = retrain(
        cases,
        champion=champion,
        train=train,
        score=score,
        publish=lambda _: None,
        salt=salt,
        rule=gate,
        champion_scanners=old,
    )
    run = training_run(
        started_from=start.notes.get("version", "unknown"),
        weights=champion,
        settings=settings,
        minutes=(time.monotonic() - began) / 60,
        labels=[*labels_used(learned, "train"), *labels_used(watched, "validation")],
        epochs=reports,
    )
    registry.add(code, version, run, asdict(result.decision))
    if promote and result.decision.promote:
        registry.promote(version, who=GATE, reason=result.decision.reason)
    taught = sum(case.image_id in new for case in learned)
    return Adaptation(
        code=code,
        version=version,
        taught=taught,
        rehearsed=len(learned) - taught,
        before=scores[champion],
        after=result.challenger,
        decision=result.decision,
    )
