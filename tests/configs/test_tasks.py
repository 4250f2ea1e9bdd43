"""A sixth sequence is a row in two tables, and nothing else: it is generated, trained and proposed."""

import json
from pathlib import Path

import pytest

from lib.configs.settings import Settings
from lib.configs.tasks import infer_tasks, train_tasks
from lib.domain.sequences import SEQUENCES, SequenceSpec
from lib.imaging.volume import read_label
from lib.loop.retrain import images_on, scanners
from lib.nets.networks import load_weights
from lib.phantom.cohort import SMALL_SIZE, generate_cohort
from lib.phantom.contrast import CONTRAST
from lib.registry.versions import SCANNERS
from lib.store.cohort import CohortStore
from lib.store.datastore import CohortDatastore

SIXTH = "LDP"


@pytest.mark.slow
def test_a_sixth_sequence_is_rows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = SequenceSpec(
        code=SIXTH, title="Late delayed phase", weighting="T1", delay_s=(900, 1800), spacing_mm=(4, 4, 6)
    )
    monkeypatch.setitem(SEQUENCES, SIXTH, row)
    monkeypatch.setitem(CONTRAST, SIXTH, CONTRAST["DP"])

    generate_cohort(tmp_path / "cohort", patients=14, seed=3, size=SMALL_SIZE, sequences=[SIXTH])
    store = CohortDatastore(CohortStore(tmp_path / "cohort"))
    settings = Settings.from_conf({"live": str(tmp_path / "live"), "device": "cpu"})
    name = f"segment_{SIXTH.lower()}"
    task = infer_tasks(settings)[name]
    assert not task.is_valid()

    stats = train_tasks(settings)[name]({"max_epochs": 1, "steps_per_epoch": 2}, store)

    assert stats["decision"]["verdict"] == "promote", stats
    weights = settings.models().champion(SIXTH)
    assert load_weights(weights).notes[SCANNERS] == json.dumps(
        sorted(scanners(images_on(store.labelled(SIXTH), "train")))
    )
    assert task.is_valid()
    record = settings.models().record(stats["version"])
    assert {used.side for used in record.training.labels} == {"train", "validation"}
    assert all(used.sha256 for used in record.training.labels)
    assert {"python", "torch", "monai", "device"} == set(record.training.environment)
    assert (record.training.started_from, record.training.settings["epochs"]) == ("scratch", 1)
    assert len(record.training.epochs) == 1
    assert [entry["what"] for entry in settings.audit().entries()] == [
        "run.started",
        "model.decided",
        "model.promote",
        "model.serves",
        "run.finished",
    ]
    path, reply = infer_tasks(settings)["segment_auto"](
        {"image": store.get_image_uri(f"P0000_{SIXTH}"), "image_info": store.get_image_info(f"P0000_{SIXTH}")}
    )
    assert reply["sequence"]["code"] == SIXTH
    assert reply["model_version"] == stats["version"]
    assert read_label(Path(path)).shape == read_label(Path(store.get_label_uri(f"P0000_{SIXTH}", "final"))).shape
    Path(path).unlink()
