"""What serves is what was recorded, or what served before it, or what ships."""

import json
import logging

import pytest

from lib.domain.errors import BadRequestError, UnknownModelError
from lib.registry.changes import Registry
from lib.registry.models import ModelFolder, stamp
from lib.registry.versions import file_sha256, version_in


def served(models: ModelFolder) -> bytes:
    return models.champion("CP").read_bytes()


def test_the_shipped_weights_serve_until_a_retrained_model_goes_live(registry: Registry, trained) -> None:
    assert served(registry.models) == b"shipped"
    trained("v1")
    assert served(registry.models) == b"shipped"
    registry.promote("v1", who="gate", reason="better")
    assert served(registry.models) == b"v1"
    assert registry.models.shipped_file("CP").read_bytes() == b"shipped"


def test_shipped_weights_are_a_version_that_can_be_looked_up(models: ModelFolder) -> None:
    record = models.record(version_in(models.shipped_file("CP"), "CP"))
    assert (record.code, record.source, record.sha256) == ("CP", "shipped", file_sha256(models.shipped_file("CP")))
    with pytest.raises(UnknownModelError):
        models.record("CP-of-nobody")


def test_a_sequence_without_weights_has_no_model(models: ModelFolder) -> None:
    assert models.find("NP") is None
    with pytest.raises(UnknownModelError, match="no trained model for sequence 'NP'"):
        models.champion("NP")


def test_another_version_has_another_stamp(registry: Registry, trained) -> None:
    before = stamp(registry.models.champion("CP"))
    trained("v1")
    registry.promote("v1", who="gate", reason="better")
    assert stamp(registry.models.champion("CP")) != before


@pytest.mark.parametrize("damage", [b"v", b"V2", b"", None])
def test_weights_that_are_not_the_recorded_ones_do_not_serve(
    registry: Registry, trained, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    for version in ("v1", "v2"):
        trained(version)
        registry.promote(version, who="gate", reason="better")
    assert served(registry.models) == b"v2"
    for version, expected in (("v2", b"v1"), ("v1", b"shipped")):
        path = registry.models.weights("CP", version)
        path.unlink() if damage is None else path.write_bytes(damage)
        with caplog.at_level(logging.ERROR):
            assert [served(registry.models) for _ in range(3)] == [expected] * 3
        assert sum(f"version {version} " in line for line in caplog.messages) == 1


def test_a_pointer_that_cannot_be_read_lets_the_shipped_weights_serve(
    registry: Registry, trained, caplog: pytest.LogCaptureFixture
) -> None:
    trained("v1")
    registry.promote("v1", who="gate", reason="better")
    pointer = registry.models.folder("CP") / "serving.json"
    pointer.write_bytes(pointer.read_bytes()[:-9])
    assert served(registry.models) == b"shipped"
    assert "serving.json of CP cannot be read" in caplog.text


@pytest.mark.parametrize("name", ["../v1", "", "a/b", ".hidden", "x" * 129])
def test_a_version_cannot_be_named_out_of_its_folder(models: ModelFolder, name: str) -> None:
    with pytest.raises(BadRequestError, match="the version has characters"):
        models.record(name)


def test_figures_that_are_not_finite_never_reach_a_reader(models: ModelFolder) -> None:
    models.write_stats("CP", {"loss": float("nan"), "epochs": [{"dice": float("inf")}], "best_metric": 0.5})
    assert models.stats("CP") == {"loss": None, "epochs": [{"dice": None}], "best_metric": 0.5}


def test_a_half_written_statistics_file_is_no_statistics(models: ModelFolder) -> None:
    models.write_stats("CP", {"a": 1})
    path = models.live / "CP" / "stats.json"
    path.write_text(json.dumps({"a": 1})[:-1])
    assert models.stats("CP") == {}


def test_a_record_reads_back_as_it_was_written(models: ModelFolder, trained) -> None:
    written = trained("v1")
    assert models.record("v1") == written
    assert models.records("CP") == [written]
    document = json.loads(models.weights("CP", "v1").with_suffix(".json").read_text())
    assert document["training"]["labels_sha256"] == written.training.labels_sha256
