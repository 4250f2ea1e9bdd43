"""What a training run's own cases look like, kept beside its version: a later scanner is held against them as well."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from lib.domain.records import CaseRecord, LabelledImage
from lib.nets.features import FeatureReader
from lib.nets.networks import load_weights
from lib.onboarding.distribution import VERSION_DISTRIBUTION, Distribution, describe, write_distribution
from lib.onboarding.measuring import NO_FEATURES, Features, look_at_all
from lib.registry.models import FINDER, ModelFolder

logger = logging.getLogger(__name__)

MOST_IMAGES = 120  # a second each; more would change the quantiles little


def distribution_file(models: ModelFolder, code: str, version: str) -> Path:
    """Where a version's distribution lies."""
    weights = models.weights(code, version)
    return weights.with_name(f"{version}{VERSION_DISTRIBUTION}")


def describe_training(models: ModelFolder, code: str, version: str, cases: Sequence[LabelledImage]) -> None:
    """Write the distribution of a version's training cases; a run does not fail for want of it."""
    step = max(1, -(-len(cases) // MOST_IMAGES))
    records = [(_record(case, code), case.image) for case in cases[::step]]
    try:
        write_distribution(
            described(records, models, made_from=f"the {len(cases)} training images of version {version}"),
            distribution_file(models, code, version),
        )
    except OSError as error:
        logger.warning("the training distribution could not be kept: %s", type(error).__name__)


def described(
    records: Sequence[tuple[CaseRecord, Path]], models: ModelFolder, *, made_from: str, remembered: Path | None = None
) -> Distribution:
    """Measure images and summarise them; ``remembered`` keeps what was measured."""
    read, finder = feature_reader(models)
    looked, _ = look_at_all(records, read, remembered)
    return describe(looked, made_from=made_from, finder=finder)


def feature_reader(models: ModelFolder) -> tuple[Features, str]:
    """Reader of the finder's features and the finder's version; without a finder it reads none.

    Raises:
        BadWeightsError: When the finder's file cannot be used.
    """
    path = models.find(FINDER)
    if path is None:
        return NO_FEATURES, ""
    weights = load_weights(path)
    return FeatureReader(weights), weights.notes.get("version", "unknown")


def _record(case: LabelledImage, code: str) -> CaseRecord:
    return CaseRecord(
        image_id=case.image_id,
        patient_id=case.patient_id,
        sequence=code,
        vendor=case.vendor,
        scanner_model=case.scanner_model,
    )
