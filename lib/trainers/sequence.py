"""MONAI Label train task: one per sequence, over ``nets.fit``, the review of labels and the promotion rule."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.train import TrainTask
from numpy.typing import NDArray

from lib.domain.records import CaseScore, EpochReport, LabelledImage, PromotionDecision
from lib.domain.sequences import SequenceSpec
from lib.imaging.volume import read_volume
from lib.loop.label_quality import DEFAULT_RULE as DEFAULT_LABEL_RULE
from lib.loop.label_quality import LabelRule
from lib.loop.label_review import LabelReviews, Predict, review_new, sorted_out
from lib.loop.retrain import RetrainResult, retrain
from lib.loop.witnesses import lineage
from lib.nets.networks import load_weights
from lib.nets.predict import FindKidneys, Predictor
from lib.nets.trainee import FitSettings
from lib.registry.changes import GATE, Registry
from lib.registry.promotion import DEFAULT_RULE, GateRule
from lib.registry.runs import RunDiary, Runs
from lib.registry.versions import SuspectedLabel
from lib.store.datastore import CohortDatastore
from lib.trainers.challenger import Challenger
from lib.trainers.progress import progress_line

logger = logging.getLogger(__name__)

SHOWN = ("minutes", "learning_rate", "batch_size", "device")
_KINDS = {
    "epochs": int,
    "steps_per_epoch": int,
    "batch_size": int,
    "seed": int,
    "minutes": float,
    "learning_rate": float,
    "freeze": str,
    "rehearsal": float,
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
        labels: LabelRule = DEFAULT_LABEL_RULE,
    ) -> None:
        """Take a sequence's row.

        Args:
            spec: The row.
            registry: Where versions are kept, and which of them serves.
            settings: Of the fit, unless the request says otherwise.
            salt: Of the patient split.
            gate: Which challenger goes live.
            on_change: Called after a version was added.
            labels: Which labels are suspicious, and what becomes of them.
        """
        super().__init__(f"Network for {spec.title}")
        self._spec, self._registry, self._settings, self._salt = spec, registry, settings, salt
        self._gate, self._on_change, self._labels = gate, on_change, labels

    def config(self) -> dict[str, Any]:
        """Return the options that clients show."""
        return {name: getattr(self._settings, name) for name in SHOWN}

    def stats(self) -> dict[str, object]:
        """Return the last run's figures."""
        return self._registry.models.stats(self._spec.code)

    def __call__(self, request: Mapping[str, Any], datastore: CohortDatastore) -> dict[str, object]:
        """Train, judge, and publish if the gate says so; progress goes to the log and the run's record, for /train.

        Raises:
            NotEnoughLabelsError: When there are too few labelled patients.
            BusyError: When another process trains this sequence.
        """
        code = self._spec.code
        version = f"{code}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        settings = _with_request(self._settings, request)
        cases = datastore.labelled(code)
        runs = Runs(live=self._registry.models.live, record=self._registry.audit.append)
        with runs.under_way(code, version, len(cases)) as diary:
            stats = self._run(version, cases, settings, diary)
        self._on_change()
        return stats

    def _run(
        self, version: str, cases: Sequence[LabelledImage], settings: FitSettings, diary: RunDiary
    ) -> dict[str, object]:
        def show(report: EpochReport) -> None:
            diary.epoch(report)
            logger.info(progress_line(report))

        challenger = Challenger(self._spec, version, self._registry.models, settings, show)
        used, suspected = self._reviewed(cases, challenger.find, settings.device)
        result = retrain(
            used,
            champion=challenger.start.champion,
            train=challenger.train,
            score=challenger.score,
            salt=self._salt,
            rule=self._gate,
            champion_scanners=challenger.start.scanners,
        )
        self._registry.add(self._spec.code, version, challenger.record(suspected), asdict(result.decision))
        self._act_on(version, result.decision)
        stats = _stats(version, challenger.reports, result, suspected)
        self._registry.models.write_stats(self._spec.code, stats)
        return stats

    def _reviewed(
        self, cases: Sequence[LabelledImage], find: FindKidneys | None, device: str
    ) -> tuple[list[LabelledImage], list[SuspectedLabel]]:
        """Labels that may teach and judge, and the suspicious ones, which are listed in the log."""
        code, registry = self._spec.code, self._registry
        reviews = LabelReviews(live=registry.models.live, record=registry.audit.append)
        review_new(code, cases, reviews, lineage(registry.models, code), predicted_by(find, device), self._labels)
        used, suspected = sorted_out(cases, reviews.of(code), self._labels)
        for one in suspected:
            logger.warning("suspicious label of %s (%s): %s", one.image_id, one.became, one.why)
        return used, suspected

    def _act_on(self, version: str, decision: PromotionDecision) -> None:
        """Let the version serve if the gate says so: only now, when what serves is on record."""
        if decision.promote:
            self._registry.promote(version, who=GATE, reason=decision.reason)
        logger.info("version %s: %s - %s", version, decision.verdict, decision.reason)


def predicted_by(find: FindKidneys | None, device: str) -> Predict:
    """How a weight file is asked about an image: as readers ask."""
    load = lru_cache(maxsize=4)(lambda weights: Predictor(load_weights(weights), device, find=find))

    def predict(weights: Path, case: LabelledImage) -> NDArray[np.uint8]:
        return load(weights)(read_volume(case.image)).label.data.astype(np.uint8)

    return predict


def _with_request(settings: FitSettings, request: Mapping[str, Any]) -> FitSettings:
    """Apply a client's options; ``max_epochs`` (MONAI Label's name) without ``minutes`` limits the run by epochs."""
    asked = {"epochs" if name == "max_epochs" else name: value for name, value in request.items() if value is not None}
    chosen: dict[str, Any] = {name: kind(asked[name]) for name, kind in _KINDS.items() if name in asked}
    if "epochs" in chosen and "minutes" not in chosen:
        chosen["minutes"] = None
    if isinstance(asked.get("device"), str):
        chosen["device"] = asked["device"]
    return replace(settings, **chosen)


def _stats(
    version: str, reports: Sequence[EpochReport], result: RetrainResult, suspected: Sequence[SuspectedLabel]
) -> dict[str, object]:
    return {
        "version": version,
        "epoch": reports[-1].epoch if reports else 0,
        "total_epochs": reports[-1].epochs if reports else 0,
        "best_metric": _mean_mass_dice(result.challenger),
        "decision": asdict(result.decision),
        "suspicious_labels": [asdict(one) for one in suspected],
        "epochs": [asdict(report) for report in reports],
    }


def _mean_mass_dice(scores: Sequence[CaseScore]) -> float:
    mass = [value for score in scores if (value := score.dice.get("mass")) is not None]
    return sum(mass) / len(mass) if mass else 0.0
