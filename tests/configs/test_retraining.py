"""What the schedule sees of a real cohort, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lib.configs.retraining import Look, retrain_schedule
from lib.configs.settings import Settings
from lib.domain.audit import RUN_STARTED, AuditEvent
from lib.loop.decisions import read_decisions
from lib.loop.label_quality import Suspicion
from lib.loop.label_review import LabelReview
from lib.loop.policy import RetrainRule, SequenceState
from lib.loop.requests import ask
from lib.loop.splits import side_of
from lib.nets.networks import Plan, build_network, save_weights
from lib.store.cohort import CohortStore

PATIENTS = [f"P{number}" for number in range(12)]
LEARNING = sum(side_of(patient) == "train" for patient in PATIENTS)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(live=str(tmp_path / "live"), retraining=RetrainRule(new_labels=3, min_disk_gib=0, min_memory_gib=0))


@pytest.fixture
def store(make_cohort: Callable[..., Path]) -> Iterator[CohortStore]:
    store = CohortStore(make_cohort(PATIENTS, ["CP"]))
    yield store
    store.close()


def state(settings: Settings, store: CohortStore, running: str = "") -> SequenceState:
    return next(one for one in Look(settings, store)(running).sequences if one.code == "CP")


def test_only_labels_of_training_patients_that_came_after_the_last_run_are_new(
    settings: Settings, store: CohortStore
) -> None:
    assert 0 < LEARNING < len(PATIENTS)
    assert state(settings, store).new_labels == LEARNING
    settings.audit().append([AuditEvent(who="training", what=RUN_STARTED, about={"code": "CP"})])
    after = state(settings, store)
    assert after.new_labels == 0
    assert after.last_run is not None
    learner = next(patient for patient in PATIENTS if side_of(patient) == "train")
    store.save_label(f"{learner}_CP", store.label(f"{learner}_CP").path)
    assert state(settings, store).new_labels == 1


def test_a_scanner_that_the_champion_never_saw_is_told(settings: Settings, store: CohortStore) -> None:
    plan = Plan(code="CP", channels=(4, 4, 4))
    torch.manual_seed(0)
    weights = Path(settings.live) / "CP" / "champion.safetensors"
    for known, unseen in (('["Siemens Aera"]', {"GE": LEARNING}), ('["GE"]', {})):
        save_weights(weights, build_network(plan).state_dict(), plan, {"version": "one", "scanners": known})
        assert state(settings, store).new_scanner_labels == unseen


def test_a_run_under_way_takes_the_device(settings: Settings, store: CohortStore) -> None:
    assert state(settings, store, running="CP").running
    assert Look(settings, store)("CP").devices[0].busy


def test_a_due_sequence_is_started_once_with_its_reason_on_record(settings: Settings, store: CohortStore) -> None:
    started: list[tuple[str, str]] = []
    schedule = retrain_schedule(settings, store, lambda: "", lambda code, device, _: started.append((code, device)))
    schedule()
    schedule()  # the decision itself counts as the last run: a run that dies at once is not started every minute
    assert [code for code, _ in started] == ["CP"]
    noted = read_decisions(Path(settings.live))["decisions"]
    assert {one["sequence"] for one in noted} == {"T1WI", "T2WI", "CP", "NP", "DP"}
    assert all(one["reason"] for one in noted)
    (entry,) = [entry for entry in settings.audit().entries() if entry["what"] == "run.decided"]
    assert f"{LEARNING} new labels" in entry["why"]


def test_with_too_few_labels_nothing_is_started(settings: Settings, store: CohortStore) -> None:
    started: list[str] = []
    patient = replace(settings, retraining=RetrainRule(new_labels=100, every_h=0))
    retrain_schedule(patient, store, lambda: "", lambda code, *_: started.append(code))()
    assert started == []


def test_a_held_label_is_no_new_label_until_it_is_released(settings: Settings, store: CohortStore) -> None:
    learner = next(patient for patient in PATIENTS if side_of(patient) == "train")
    label = next(one for one in store.labelled("CP") if one.patient_id == learner)
    found = (Suspicion(kind="empty", reason="no mass is drawn"),)
    review = LabelReview(code="CP", image_id=label.image_id, sha256=label.label_sha256, at="", suspicions=found)
    settings.reviews().add("CP", [review])
    assert state(settings, store).new_labels == LEARNING - 1
    settings.audit().append([AuditEvent(who="training", what=RUN_STARTED, about={"code": "CP"})])
    assert state(settings, store).new_labels == 0
    settings.reviews().release(label.image_id, who="r1", why="the mass was resected")
    assert state(settings, store).new_labels == 1


def test_the_audit_log_is_read_on_from_where_the_last_look_ended(settings: Settings, store: CohortStore) -> None:
    look, audit = Look(settings, store), settings.audit()
    audit.append([AuditEvent(who="training", what=RUN_STARTED, about={"code": "CP"})])
    first = {one.code: one.last_run for one in look("").sequences}
    audit.append([AuditEvent(who="training", what=RUN_STARTED, about={"code": "NP"})])
    second = {one.code: one.last_run for one in look("").sequences}
    assert first["CP"] == second["CP"] is not None
    assert first["NP"] is None
    assert second["NP"] is not None


def test_an_admins_request_outlives_a_restart_and_is_answered_once(settings: Settings, store: CohortStore) -> None:
    patient = replace(settings, retraining=RetrainRule(new_labels=100, every_h=0, min_disk_gib=0, min_memory_gib=0))
    started: list[tuple[str, object]] = []

    def decide(running: str = "") -> None:  # each with a schedule of its own, as after a restart
        retrain_schedule(patient, store, lambda: running, lambda code, _, options: started.append((code, options)))()

    ask(Path(settings.live), "DP", who="an-admin", options={"minutes": 5})
    decide(running="NP")
    assert started == []
    assert "an admin asked; no device is free" in read_decisions(Path(settings.live))["decisions"][0]["reason"]
    decide()
    decide()
    assert started == [("DP", {"minutes": 5})]
