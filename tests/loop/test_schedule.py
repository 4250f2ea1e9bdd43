from __future__ import annotations

from datetime import UTC, datetime

from lib.domain.records import RetrainDecision
from lib.loop.policy import Device, RetrainRule, SequenceState, Snapshot
from lib.loop.schedule import RetrainSchedule


def test_what_is_due_is_started_and_every_decision_is_noted_with_its_reason() -> None:
    seen = Snapshot(
        now=datetime(2026, 1, 5, 12, tzinfo=UTC),
        sequences=(SequenceState(code="CP", new_labels=12), SequenceState(code="NP", new_labels=2, last_run=None)),
        devices=(Device(name="cpu"),),
        free_disk_bytes=2**40,
    )
    started: list[RetrainDecision] = []
    noted: list[RetrainDecision] = []
    RetrainSchedule(lambda: seen, RetrainRule(every_h=0), started.append, noted.extend)()
    assert [(one.sequence, one.device) for one in started] == [("CP", "cpu")]
    assert [(one.sequence, one.go) for one in noted] == [("CP", True), ("NP", False)]
    assert "12 new labels" in noted[0].reason
    assert "2 of 10" in noted[1].reason
