"""One challenger in the making: fitted from the champion on, scored as readers get it, and all of that on record."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lib.domain.records import CaseScore, EpochReport, LabelledImage
from lib.domain.sequences import SequenceSpec
from lib.loop.rehearsal import rehearsed
from lib.loop.retrain import scanners
from lib.loop.witnesses import lineage
from lib.nets.find import load_finder
from lib.nets.fit import fit
from lib.nets.networks import LoadedWeights, Plan, load_weights, save_weights
from lib.nets.predict import FindKidneys
from lib.nets.score import score_images
from lib.nets.trainee import FitSettings
from lib.registry.models import FINDER, ModelFolder
from lib.registry.versions import SCANNERS, SCRATCH, LabelUsed, SuspectedLabel, TrainingRun, scanners_in
from lib.trainers.assessment import assessment_notes
from lib.trainers.described import describe_training
from lib.trainers.provenance import labels_used, training_run


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """What a run starts from.

    Attributes:
        champion: Weights that serve now; None when nothing does.
        scanners: That the champion was trained on; None when that was not recorded.
    """

    champion: Path | None
    weights: LoadedWeights | None
    scanners: frozenset[str] | None

    @property
    def version(self) -> str:
        """Version of the champion."""
        return self.weights.notes.get("version", "unknown") if self.weights else SCRATCH


def start_from(champion: Path | None) -> Start:
    """Read the champion.

    Raises:
        BadWeightsError: When it cannot be read.
    """
    weights = load_weights(champion) if champion else None
    return Start(champion=champion, weights=weights, scanners=scanners_in(champion) if champion else None)


class Challenger:
    """What ``loop.retrain`` calls; it remembers what the record of the version needs."""

    def __init__(
        self,
        spec: SequenceSpec,
        version: str,
        models: ModelFolder,
        settings: FitSettings,
        on_epoch: Callable[[EpochReport], None],
        earlier: frozenset[str] | None = None,
    ) -> None:
        """Read the champion.

        Args:
            spec: The sequence.
            version: Name of what is made.
            models: Where it is kept.
            settings: Of the fit.
            on_epoch: Told after every epoch.
            earlier: Ids of the images that are rehearsed; those that the champion learned from when None.

        Raises:
            BadWeightsError: When the champion cannot be read.
        """
        self.start = start_from(models.find(spec.code))
        self.reports: list[EpochReport] = []
        self._spec, self._version, self._models, self._settings = spec, version, models, settings
        self._on_epoch, self._earlier = on_epoch, earlier
        self._used: list[LabelUsed] = []
        self._minutes = 0.0

    @cached_property
    def find(self) -> FindKidneys | None:
        """Tells where the kidneys are; None where no such network is installed."""
        return load_finder(self._models.find(FINDER), self._settings.device)

    def train(self, training: Sequence[LabelledImage], validation: Sequence[LabelledImage]) -> Path:
        """Fit on (train, validation) images and write the version's weights."""
        started, code = time.monotonic(), self._spec.code
        self._used = [*labels_used(training, "train"), *labels_used(validation, "validation")]
        weights = self.start.weights
        earlier = self._earlier
        if earlier is None:
            earlier = next((one.learned_from for one in lineage(self._models, code)), frozenset())
        result = fit(
            rehearsed(training, lambda case: case.image_id in earlier, self._settings.rehearsal),
            validation,
            weights.plan if weights else Plan(code=code, spacing_mm=self._spec.spacing_mm),
            self._settings,
            start_from=weights,
            checkpoint=self._models.checkpoint(code),
            on_epoch=self._see,
        )
        notes = {
            "version": self._version,
            "started_from": self.start.version,
            "trained_on": str(len(training)),
            SCANNERS: json.dumps(sorted(scanners(training) | (self.start.scanners or frozenset()))),
            **assessment_notes(result, weights.notes if weights else {}),
        }
        path = self._models.weights(code, self._version)
        save_weights(path, result.state, result.plan, notes)
        describe_training(self._models, code, self._version, training)
        self._minutes = (time.monotonic() - started) / 60
        return path

    def score(self, weights: Path, images: Sequence[LabelledImage]) -> list[CaseScore]:
        """Score a weight file on images."""
        return score_images(load_weights(weights), images, self._settings.device, find=self.find)

    def record(self, suspected: Sequence[SuspectedLabel]) -> TrainingRun:
        """What is kept of the run."""
        return training_run(
            started_from=self.start.version,
            weights=self.start.champion,
            settings=self._settings,
            minutes=self._minutes,
            labels=self._used,
            epochs=self.reports,
            suspected=suspected,
        )

    def _see(self, report: EpochReport) -> None:
        self.reports.append(report)
        self._on_epoch(report)
