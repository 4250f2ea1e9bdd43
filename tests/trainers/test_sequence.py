"""Training data that cannot be used: a clear message, the run on record as failed, and nothing else changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.configs.settings import Settings
from lib.configs.tasks import train_tasks
from lib.domain.errors import BadImageError, BusyError, NotEnoughLabelsError, RenalError, WorkerError
from lib.imaging.volume import Volume, read_label, write_volume
from lib.loop.splits import side_of
from lib.nets.networks import Plan, build_network, save_weights
from lib.store.cohort import CohortStore
from lib.store.datastore import CohortDatastore
from lib.trainers import challenger
from lib.trainers.sequence import SequenceTrain

PATIENTS = [f"P{number}" for number in range(12)]
QUICK = {"max_epochs": 1, "steps_per_epoch": 1, "batch_size": 1}
SPACING_MM = (3.0, 3.0, 6.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Small untrained weights ship for CP; none for DP."""
    plan = Plan(code="CP", spacing_mm=SPACING_MM, patch=(32, 32, 16), window=(64, 64, 32), channels=(4, 8, 8))
    torch.manual_seed(0)
    save_weights(tmp_path / "shipped" / "CP.safetensors", build_network(plan).state_dict(), plan, {"version": "CP-0"})
    return Settings(live=str(tmp_path / "live"), shipped=str(tmp_path / "shipped"), device="cpu")


@pytest.fixture
def store(make_cohort: Callable[..., Path]) -> Iterator[CohortStore]:
    store = CohortStore(make_cohort(PATIENTS, ["CP"], labelled=[]))
    yield store
    store.close()


@pytest.fixture
def label_of(make_cohort: Callable[..., Path], tmp_path: Path) -> Callable[[str], Path]:
    from tests.conftest import two_kidneys

    def label_of(patient: str) -> Path:
        path = tmp_path / "sent" / f"{patient}.nii.gz"
        write_volume(two_kidneys(PATIENTS.index(patient))[1], path)
        return path

    return label_of


def train(settings: Settings, store: CohortStore, code: str = "CP") -> dict[str, object]:
    task: SequenceTrain = train_tasks(settings)[f"segment_{code.lower()}"]
    return task(QUICK, CohortDatastore(store))


def fails(settings: Settings, store: CohortStore, error: type[RenalError], said: str, code: str = "CP") -> None:
    models = settings.models()
    before = (models.find(code), models.records(code), models.stats(code))
    with pytest.raises(error, match=said):
        train(settings, store, code)
    run = settings.runs().of(code)[-1]
    assert run.status == "failed"
    assert said.split(" ")[0] in run.why
    assert (models.find(code), models.records(code), models.stats(code)) == before


def test_no_labels(settings: Settings, store: CohortStore) -> None:
    fails(settings, store, NotEnoughLabelsError, "0 labelled images, none of a patient on the train side")


def test_one_patient(settings: Settings, store: CohortStore, label_of: Callable[[str], Path]) -> None:
    learner = next(patient for patient in PATIENTS if side_of(patient) == "train")
    store.save_label(f"{learner}_CP", label_of(learner))
    fails(settings, store, NotEnoughLabelsError, "1 labelled images, none of a patient on the validation side")


def test_a_sequence_with_no_labels_and_no_model(settings: Settings, store: CohortStore) -> None:
    fails(settings, store, NotEnoughLabelsError, "0 labelled images", code="DP")


def labelled(store: CohortStore, label_of: Callable[[str], Path]) -> None:
    for patient in PATIENTS:
        store.save_label(f"{patient}_CP", label_of(patient))


def test_a_label_file_that_was_damaged_on_disk(
    settings: Settings, store: CohortStore, label_of: Callable[[str], Path]
) -> None:
    labelled(store, label_of)
    learner = next(patient for patient in PATIENTS if side_of(patient) == "train")
    store.label(f"{learner}_CP").path.write_bytes(b"\x1f\x8bnot a label any more")
    fails(settings, store, BadImageError, "not a NIfTI image")


def test_a_lost_training_process(
    settings: Settings, store: CohortStore, label_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*given: object, **_: object) -> None:
        message = f"one of {given[3].processes} training processes was lost"  # type: ignore[attr-defined]
        raise WorkerError(message)

    labelled(store, label_of)
    monkeypatch.setattr(challenger, "fit", lost)
    fails(replace(settings, processes=2), store, WorkerError, "one of 2 training processes was lost")


def test_labels_of_one_structure_train(
    settings: Settings, store: CohortStore, label_of: Callable[[str], Path], tmp_path: Path
) -> None:
    for patient in PATIENTS:
        label = read_label(label_of(patient))
        kidneys = Volume(data=(label.data == 1).astype(np.uint8), affine=label.affine)
        write_volume(kidneys, tmp_path / "kidneys.nii.gz")
        store.save_label(f"{patient}_CP", tmp_path / "kidneys.nii.gz", info={"structures": ["kidney"]})
    stats = train(settings, store)
    (record,) = settings.models().records("CP")
    learners = {f"{patient}_CP" for patient in PATIENTS if side_of(patient) != "holdout"}
    assert {one.image_id for one in record.training.labels} == learners
    assert stats["suspicious_labels"] == []  # one model alone, which sees kidneys nowhere near, contradicts nothing
    assert settings.runs().of("CP")[-1].status == "finished"


def test_a_second_process_does_not_train_the_same_sequence(settings: Settings, store: CohortStore) -> None:
    with settings.runs().under_way("CP", "CP-other", 0), pytest.raises(BusyError, match="expected one at a time"):
        train(settings, store)


def test_a_run_takes_the_epochs_and_threads_of_the_settings(settings: Settings) -> None:
    task = train_tasks(replace(settings, epochs=7, threads=3))["segment_cp"]
    assert (task._settings.epochs, task._settings.minutes, task._settings.threads) == (7, None, 3)
    assert train_tasks(settings)["segment_cp"]._settings.minutes == settings.minutes
