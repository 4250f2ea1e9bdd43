"""The retraining schedule of a server: how things are, from the store, the audit log and the machine."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import psutil
import torch

from lib.configs.settings import Settings
from lib.domain.audit import RUN_DECIDED, RUN_STARTED, AuditEvent
from lib.domain.records import RetrainDecision
from lib.domain.sequences import SEQUENCES
from lib.imaging.volume import write_bytes
from lib.loop.policy import Device, SequenceState, Snapshot
from lib.loop.schedule import RetrainSchedule
from lib.loop.splits import side_of
from lib.nets.networks import load_weights, pick_device
from lib.store.arrivals import Arrival, arrivals
from lib.store.cohort import CohortStore
from lib.trainers.sequence import trained_scanners

DECISIONS = "retraining.json"
_NS = 1_000_000_000


def retrain_schedule(
    settings: Settings, store: CohortStore, running: Callable[[], str], start: Callable[[str, str], None]
) -> RetrainSchedule:
    """Put the schedule together.

    Args:
        settings: Of the installation.
        store: Of the labels.
        running: Code of the sequence that is being trained; empty when none is.
        start: Starts a run of a sequence (code) on a device.
    """
    audit = settings.audit()

    def note(decisions: Sequence[RetrainDecision]) -> None:
        content = {"at": _now().isoformat(timespec="seconds"), "decisions": [asdict(one) for one in decisions]}
        write_bytes(json.dumps(content, indent=1).encode(), Path(settings.live) / DECISIONS)

    def act(decision: RetrainDecision) -> None:
        about = {"code": decision.sequence, "device": decision.device}
        audit.append([AuditEvent(who="policy", what=RUN_DECIDED, why=decision.reason, about=about)])
        start(decision.sequence, decision.device)

    return RetrainSchedule(lambda: snapshot(settings, store, running()), settings.retraining, act, note)


def snapshot(settings: Settings, store: CohortStore, running: str) -> Snapshot:
    """Look at labels, runs and the machine.

    Args:
        settings: Of the installation.
        store: Of the labels.
        running: Code of the sequence that is being trained; empty when none is.
    """
    began = _last_runs(settings)
    labels = [one for one in arrivals(store) if side_of(one.patient_id, settings.salt) == "train"]
    live = Path(settings.live)
    live.mkdir(parents=True, exist_ok=True)
    return Snapshot(
        now=_now(),
        sequences=tuple(
            _state(code, [one for one in labels if one.sequence == code], began.get(code), running == code, settings)
            for code in SEQUENCES
        ),
        devices=(_device(settings, busy=bool(running)),),
        free_disk_bytes=shutil.disk_usage(live).free,
    )


def _state(
    code: str, labels: Sequence[Arrival], began: datetime | None, running: bool, settings: Settings
) -> SequenceState:
    since_ns = began.timestamp() * _NS if began else 0.0
    return SequenceState(
        code=code,
        new_labels=sum(one.arrived_ns > since_ns for one in labels),
        new_scanner_labels=_unseen(labels, code, settings),
        last_run=began,
        running=running,
    )


def _unseen(labels: Sequence[Arrival], code: str, settings: Settings) -> dict[str, int]:
    """Labels per scanner that the champion never saw; none when its file does not say what it saw."""
    champion = settings.models().find(code)
    seen = trained_scanners(load_weights(champion)) if champion else frozenset()
    if seen is None:
        return {}
    return dict(Counter(one.scanner for one in labels if one.scanner and one.scanner not in seen))


def _last_runs(settings: Settings) -> dict[str, datetime]:
    """When the last run of each sequence began, or was to begin, as the audit log has it."""
    return {
        str(entry["about"].get("code")): datetime.fromisoformat(entry["at"])
        for entry in settings.audit().entries()
        if entry["what"] in (RUN_DECIDED, RUN_STARTED)
    }


def _device(settings: Settings, *, busy: bool) -> Device:
    device = pick_device(settings.device)
    if device.type == "cuda":
        return Device(name=str(device), busy=busy, free_bytes=torch.cuda.mem_get_info(device)[0])
    return Device(name=device.type, busy=busy, free_bytes=psutil.virtual_memory().available)


def _now() -> datetime:
    return datetime.now(UTC)
