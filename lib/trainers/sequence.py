"""MONAI Label train task: one per sequence, over ``nets.fit`` and the promotion rule."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.train import TrainTask

from lib.domain.audit import RUN_FAILED, RUN_FINISHED, RUN_STARTED, AuditEvent
from lib.domain.errors import RenalError
from lib.domain.records import CaseScore, EpochReport, LabelledImage
from lib.domain.sequences import SequenceSpec
from lib.loop.retrain import retrain, scanners
from lib.nets.find import load_finder
from lib.nets.fit import fit
from lib.nets.networks import LoadedWeights, Plan, load_weights, save_weights
from lib.nets.score import score_images
from lib.nets.trainee import FitSettings
from lib.registry.changes import GATE, Registry
from lib.registry.models import FINDER
from lib.registry.promotion import DEFAULT_RULE, GateRule
from lib.registry.versions import LabelUsed
from lib.store.datastore import CohortDatastore
from lib.trainers.described import describe_training
from lib.trainers.progress import progress_line
from lib.trainers.provenance import labels_used, training_run

logger = logging.getLogger(__name__)

SCANNERS = "scanners"  # note of a weight file: every scanner that it and its ancestors were trained on
SHOWN = ("minutes", "learning_rate", "batch_size", "device")
_KINDS = {
    "epochs": int,
    "steps_per_epoch": int,
    "batch_size": int,
    "seed": int,
    "minutes": float,
    "learning_rate": float,
}


class SequenceTrain(TrainTask):
    """Adapter for retrain: this sequence's final labels in, a new champion out if the gate lets it."""

    def __init__(
        self,
        spec: SequenceSpec,
        registry: Registry,
        settings: FitSettings,
        salt: str,
        gate: GateRule = DEFAULT_RULE,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Take a sequence's row.

        Args:
            spec: The row.
            registry: Where versions are kept, and which of them serves.
            settings: Of the fit, unless the request says otherwise.
            salt: Of the patient split.
            gate: Which challenger goes live.
            on_change: Called after a version was added.
        """
        super().__init__(f"Network for {spec.title}")
        self._spec, self._registry, self._settings, self._salt = spec, registry, settings, salt
        self._gate, self._on_change = gate, on_change

    def config(self) -> dict[str, Any]:
        """Return the options that clients show."""
        return {name: getattr(self._settings, name) for name in SHOWN}

    def stats(self) -> dict[str, object]:
        """Return the last run's figures."""
        return self._registry.models.stats(self._spec.code)

    def __call__(self, request: Mapping[str, Any], datastore: CohortDatastore) -> dict[str, object]:
        """Train, judge, and publish if the gate says so; progress goes to the log, which /train shows.

        Raises:
            NotEnoughLabelsError: When there are too few labelled patients.
        """
        version = f"{self._spec.code}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        cases = datastore.labelled(self._spec.code)
        self._say(RUN_STARTED, version, images=len(cases))
        try:
            stats = self._run(version, cases, _with_request(self._settings, request))
        except (RenalError, OSError, RuntimeError) as error:
            self._say(RUN_FAILED, version, why=str(error) if isinstance(error, RenalError) else type(error).__name__)
            raise
        self._say(RUN_FINISHED, version, epochs=stats["epoch"], best_metric=stats["best_metric"])
        self._on_change()
        return stats

    def _run(self, version: str, cases: Sequence[LabelledImage], settings: FitSettings) -> dict[str, object]:
        code, models = self._spec.code, self._registry.models
        champion = models.find(code)
        start_from = load_weights(champion) if champion else None
        champion_scanners = trained_scanners(start_from)
        find = load_finder(models.find(FINDER), settings.device)
        reports: list[EpochReport] = []
        used: list[LabelUsed] = []
        minutes = 0.0

        def show(report: EpochReport) -> None:
            reports.append(report)
            logger.info(progress_line(report))

        def train(training: Sequence[LabelledImage], validation: Sequence[LabelledImage]) -> Path:
            nonlocal minutes
            started = time.monotonic()
            used.extend([*labels_used(training, "train"), *labels_used(validation, "validation")])
            plan = start_from.plan if start_from else Plan(code=code, spacing_mm=self._spec.spacing_mm)
            result = fit(
                training,
                validation,
                plan,
                settings,
                start_from=start_from,
                checkpoint=models.checkpoint(code),
                on_epoch=show,
            )
            notes = {
                "version": version,
                "started_from": _version(start_from),
                "trained_on": str(len(training)),
                SCANNERS: json.dumps(sorted(scanners(training) | (champion_scanners or frozenset()))),
            }
            path = models.weights(code, version)
            save_weights(path, result.state, result.plan, notes)
            describe_training(models, code, version, training)
            minutes = (time.monotonic() - started) / 60
            return path

        def score(weights: Path, images: Sequence[LabelledImage]) -> list[CaseScore]:
            return score_images(load_weights(weights), images, settings.device, find=find)

        result = retrain(
            cases,
            champion=champion,
            train=train,
            score=score,
            publish=lambda _: None,
            salt=self._salt,
            rule=self._gate,
            champion_scanners=champion_scanners,
        )
        run = training_run(
            started_from=_version(start_from),
            weights=champion,
            settings=settings,
            minutes=minutes,
            labels=used,
            epochs=reports,
        )
        self._registry.add(code, version, run, asdict(result.decision))
        if result.decision.promote:  # only now: what serves is on record before it serves
            self._registry.promote(version, who=GATE, reason=result.decision.reason)
        stats = _stats(version, reports, result.challenger, asdict(result.decision))
        models.write_stats(code, stats)
        logger.info("version %s: %s - %s", version, result.decision.verdict, result.decision.reason)
        return stats

    def _say(self, what: str, version: str, why: str = "", **about: object) -> None:
        event = AuditEvent(
            who="training", what=what, why=why, about={"code": self._spec.code, "version": version, **about}
        )
        self._registry.audit.append([event])


def _with_request(settings: FitSettings, request: Mapping[str, Any]) -> FitSettings:
    """Apply a client's options; ``max_epochs`` (MONAI Label's name) without ``minutes`` limits the run by epochs."""
    asked = {"epochs" if name == "max_epochs" else name: value for name, value in request.items() if value is not None}
    chosen: dict[str, Any] = {name: kind(asked[name]) for name, kind in _KINDS.items() if name in asked}
    if "epochs" in chosen and "minutes" not in chosen:
        chosen["minutes"] = None
    if isinstance(asked.get("device"), str):
        chosen["device"] = asked["device"]
    return replace(settings, **chosen)


def _version(weights: LoadedWeights | None) -> str:
    return weights.notes.get("version", "unknown") if weights else "scratch"


def trained_scanners(weights: LoadedWeights | None) -> frozenset[str] | None:
    """Scanners that weights were trained on; None when the file does not tell."""
    return frozenset(json.loads(weights.notes[SCANNERS])) if weights and SCANNERS in weights.notes else None


def _stats(
    version: str, reports: Sequence[EpochReport], scores: Sequence[CaseScore], decision: Mapping[str, object]
) -> dict[str, object]:
    mass = [value for score in scores if (value := score.dice.get("mass")) is not None]
    return {
        "version": version,
        "epoch": reports[-1].epoch if reports else 0,
        "total_epochs": reports[-1].epochs if reports else 0,
        "best_metric": sum(mass) / len(mass) if mass else 0.0,
        "decision": dict(decision),
        "epochs": [asdict(report) for report in reports],
    }
