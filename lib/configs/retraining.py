"""The retraining schedule of a server: how things are, from the store, the audit log and the machine."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import torch

from lib.configs.settings import Settings
from lib.domain.audit import RUN_DECIDED, RUN_STARTED, AuditEvent
from lib.domain.records import RetrainDecision
from lib.domain.sequences import SEQUENCES
from lib.loop.decisions import keep_decisions
from lib.loop.label_review import LabelReview
from lib.loop.policy import Device, SequenceState, Snapshot
from lib.loop.requests import answered, waiting
from lib.loop.schedule import RetrainSchedule
from lib.loop.splits import side_of
from lib.nets.networks import pick_device
from lib.registry.versions import scanners_in
from lib.store.arrivals import Arrival, arrivals
from lib.store.cohort import CohortStore

_NS = 1_000_000_000


def retrain_schedule(
    settings: Settings,
    store: CohortStore,
    running: Callable[[], str],
    start: Callable[[str, str, Mapping[str, Any]], None],
) -> RetrainSchedule:
    """Put the schedule together.

    Args:
        settings: Of the installation.
        store: Of the labels.
        running: Code of the sequence that is being trained; empty when none is.
        start: Starts a run of a sequence (code) on a device, with options as a client of /train names them.
    """
    audit, look, live = settings.audit(), Look(settings, store), Path(settings.live)

    def note(decisions: Sequence[RetrainDecision]) -> None:
        keep_decisions(live, decisions, _now())

    def act(decision: RetrainDecision) -> None:
        about = {"code": decision.sequence, "device": decision.device}
        audit.append([AuditEvent(who="policy", what=RUN_DECIDED, why=decision.reason, about=about)])
        request = waiting(live, decision.sequence)
        start(decision.sequence, decision.device, request.options if request else {})
        answered(live, decision.sequence)

    return RetrainSchedule(lambda: look(running()), settings.retraining, act, note)


class Look:
    """Looks at labels, runs and the machine; cheap again and again: only what is new in the audit log is read."""

    def __init__(self, settings: Settings, store: CohortStore) -> None:
        self._settings, self._store = settings, store
        self._audit, self._read = settings.audit(), 0
        self._began: dict[str, datetime] = {}

    def __call__(self, running: str) -> Snapshot:
        """Take the snapshot.

        Args:
            running: Code of the sequence that is being trained; empty when none is.
        """
        settings = self._settings
        began = self._last_runs()
        runs = settings.runs()
        busy = {code for code in SEQUENCES if code == running or runs.going(code)}
        labels = [one for one in arrivals(self._store) if side_of(one.patient_id, settings.salt) == "train"]
        live = Path(settings.live)
        live.mkdir(parents=True, exist_ok=True)
        states = (_state(code, labels, began.get(code), settings) for code in SEQUENCES)
        return Snapshot(
            now=_now(),
            sequences=tuple(
                replace(state, running=state.code in busy, requested=waiting(live, state.code) is not None)
                for state in states
            ),
            devices=(_device(settings, busy=bool(busy)),),
            free_disk_bytes=shutil.disk_usage(live).free,
        )

    def _last_runs(self) -> dict[str, datetime]:
        """When the last run of each sequence began, or was to begin, as the audit log has it."""
        entries, self._read = self._audit.entries_from(self._read)
        for entry in entries:
            if entry["what"] in (RUN_DECIDED, RUN_STARTED):
                self._began[str(entry["about"].get("code"))] = datetime.fromisoformat(entry["at"])
        return self._began


def _state(code: str, arrived: Sequence[Arrival], began: datetime | None, settings: Settings) -> SequenceState:
    reviews = {(one.image_id, one.sha256): one for one in settings.reviews().of(code)}
    held = settings.labels.action == "hold"
    labels = [(one, reviews.get((one.image_id, one.sha256))) for one in arrived if one.sequence == code]
    usable = [(one, review) for one, review in labels if not (held and review and review.is_open)]
    return SequenceState(
        code=code,
        new_labels=sum(_came(one, review) > (began.timestamp() if began else 0.0) for one, review in usable),
        new_scanner_labels=_unseen([one for one, _ in usable], code, settings),
        last_run=began,
    )


def _came(label: Arrival, review: LabelReview | None) -> float:
    """When a label could first teach, in seconds since 1970: when it came, or was released."""
    released = datetime.fromisoformat(review.released_at).timestamp() if review and review.released_at else 0.0
    return max(label.arrived_ns / _NS, released)


def _unseen(labels: Sequence[Arrival], code: str, settings: Settings) -> dict[str, int]:
    """Labels per scanner that the champion never saw; none when its file does not say what it saw."""
    champion = settings.models().find(code)
    seen = scanners_in(champion) if champion else frozenset()
    if seen is None:
        return {}
    return dict(Counter(one.scanner for one in labels if one.scanner and one.scanner not in seen))


def _device(settings: Settings, *, busy: bool) -> Device:
    device = pick_device(settings.device)
    if device.type == "cuda":
        return Device(name=str(device), busy=busy, free_bytes=torch.cuda.mem_get_info(device)[0])
    return Device(name=device.type, busy=busy, free_bytes=psutil.virtual_memory().available)


def _now() -> datetime:
    return datetime.now(UTC)
