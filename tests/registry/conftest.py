"""A registry over small files that stand in for weights."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.domain.records import EpochReport
from lib.imaging.volume import write_bytes
from lib.registry.audit import AuditLog
from lib.registry.changes import Registry
from lib.registry.models import ModelFolder
from lib.registry.versions import LabelUsed, TrainingRun, VersionRecord


@pytest.fixture
def models(tmp_path: Path) -> ModelFolder:
    """CP ships, nothing is live."""
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "CP.safetensors").write_bytes(b"shipped")
    return ModelFolder(shipped=tmp_path / "shipped", live=tmp_path / "live")


@pytest.fixture
def registry(models: ModelFolder) -> Registry:
    return Registry(models=models, audit=AuditLog(models.live), keep=3)


@pytest.fixture
def training() -> TrainingRun:
    return TrainingRun(
        started_from="CP-2",
        started_from_sha256="00" * 32,
        code_version="0.1.0",
        code_sha256="11" * 32,
        settings={"minutes": 30.0, "learning_rate": 0.002},
        seed=7,
        minutes=29.5,
        environment={"python": "3.11.7", "torch": "2.13.0", "monai": "1.5.2", "device": "cpu (x86_64)"},
        labels=(LabelUsed(image_id="P1_CP", side="train", sha256="22" * 32),),
        epochs=(
            EpochReport(epoch=1, epochs=2, loss=1.5, dice={}, eta_s=9.0),
            EpochReport(epoch=2, epochs=2, loss=0.5, dice={"kidney": 0.9, "mass": 0.6}, eta_s=0.0),
        ),
    )


@pytest.fixture
def trained(registry: Registry, training: TrainingRun) -> Callable[..., VersionRecord]:
    """Put a version on record: ``trained("v1")``; its weights hold its name."""

    def trained(version: str, promote: bool = True) -> VersionRecord:
        write_bytes(version.encode(), registry.models.weights("CP", version))
        return registry.add("CP", version, training, {"promote": promote, "reason": f"because {version}", "gain": 0.1})

    return trained


def die_at(step: int, *names: str) -> None:
    """End this process at the n-th of these calls, as ``kill -9`` would."""
    left = [step]

    def deadly(call):
        def instead(*arguments, **options):
            left[0] -= 1
            if not left[0]:
                os._exit(9)
            return call(*arguments, **options)

        return instead

    for name in names:
        setattr(os, name, deadly(getattr(os, name)))
