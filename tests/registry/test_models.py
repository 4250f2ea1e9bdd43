"""What serves changes in one step, and what served before is kept."""

import json
from pathlib import Path

import pytest

from lib.domain.errors import UnknownModelError
from lib.registry.models import ModelFolder, stamp


@pytest.fixture
def models(tmp_path: Path) -> ModelFolder:
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "CP.safetensors").write_bytes(b"shipped")
    return ModelFolder(shipped=tmp_path / "shipped", live=tmp_path / "live")


def publish(models: ModelFolder, content: bytes) -> None:
    candidate = models.candidate("CP", "v2")
    candidate.parent.mkdir(parents=True, exist_ok=True)
    candidate.write_bytes(content)
    models.publish("CP", candidate)


def test_the_shipped_weights_serve_until_a_retrained_model_goes_live(models: ModelFolder) -> None:
    assert models.champion("CP").read_bytes() == b"shipped"
    publish(models, b"second")
    assert models.champion("CP").read_bytes() == b"second"
    assert (models.shipped / "CP.safetensors").read_bytes() == b"shipped"


def test_what_served_before_is_kept(models: ModelFolder) -> None:
    publish(models, b"second")
    publish(models, b"third")
    assert sorted(path.name for path in (models.live / "CP").iterdir()) == [
        "champion.safetensors",
        "previous.safetensors",
    ]
    assert (models.live / "CP" / "previous.safetensors").read_bytes() == b"second"


def test_a_sequence_without_weights_has_no_model(models: ModelFolder) -> None:
    assert models.find("NP") is None
    with pytest.raises(UnknownModelError, match="no trained model for sequence 'NP'"):
        models.champion("NP")


def test_a_replaced_file_has_another_stamp(models: ModelFolder) -> None:
    publish(models, b"a")
    before = stamp(models.champion("CP"))
    publish(models, b"b")
    assert stamp(models.champion("CP")) != before


def test_figures_that_are_not_finite_never_reach_a_reader(models: ModelFolder) -> None:
    models.write_stats("CP", {"loss": float("nan"), "epochs": [{"dice": float("inf")}], "best_metric": 0.5})
    assert models.stats("CP") == {"loss": None, "epochs": [{"dice": None}], "best_metric": 0.5}


def test_a_half_written_statistics_file_is_no_statistics(models: ModelFolder) -> None:
    models.write_stats("CP", {"a": 1})
    path = models.live / "CP" / "stats.json"
    path.write_text(json.dumps({"a": 1})[:-1])
    assert models.stats("CP") == {}
