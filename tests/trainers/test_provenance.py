"""What a champion has learned from is found on record, back to the first version."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lib.imaging.volume import write_bytes
from lib.registry.models import ModelFolder
from lib.registry.versions import LabelUsed, TrainingRun, VersionRecord, write_record
from lib.trainers.provenance import learned_from

Record = Callable[..., None]


@pytest.fixture
def models(tmp_path: Path) -> ModelFolder:
    return ModelFolder(shipped=tmp_path / "shipped", live=tmp_path / "live")


@pytest.fixture
def record(models: ModelFolder) -> Record:
    def record(version: str, started_from: str, train: list[str], validation: list[str]) -> None:
        sides = (("train", train), ("validation", validation))
        run = TrainingRun(
            started_from=started_from,
            started_from_sha256="",
            code_version="",
            code_sha256="",
            settings={},
            seed=0,
            minutes=1.0,
            environment={},
            labels=tuple(LabelUsed(image_id=name, side=side, sha256="") for side, names in sides for name in names),  # type: ignore[arg-type]
            epochs=(),
        )
        found = VersionRecord(
            code="CP", version=version, sha256="", created="", source="trained", training=run, decision={}
        )
        write_record(found, models.weights("CP", version).parent)

    return record


def test_a_version_has_learned_from_its_training_labels_and_those_of_its_ancestors(
    models: ModelFolder, record: Record
) -> None:
    record("CP-a", "CP-shipped", ["P1_CP"], ["P8_CP"])
    record("CP-b", "CP-a", ["P2_CP", "P3_CP"], ["P9_CP"])
    assert learned_from(models, "CP-b") == {"P1_CP", "P2_CP", "P3_CP"}
    assert learned_from(models, "CP-a") == {"P1_CP"}


@pytest.mark.parametrize("version", ["CP-shipped", "unknown", "scratch"])
def test_a_version_without_a_record_has_learned_from_nothing_here(models: ModelFolder, version: str) -> None:
    assert learned_from(models, version) == frozenset()


def test_a_record_that_names_itself_ends_the_search(models: ModelFolder, record: Record) -> None:
    record("CP-a", "CP-a", ["P1_CP"], [])
    assert learned_from(models, "CP-a") == {"P1_CP"}


def test_a_damaged_record_ends_the_search(models: ModelFolder, record: Record) -> None:
    record("CP-b", "CP-a", ["P2_CP"], [])
    write_bytes(b"{", models.weights("CP", "CP-a").with_suffix(".json"))
    assert learned_from(models, "CP-b") == {"P2_CP"}
