"""What the policy decided can be read later, and not every minute of it."""

from datetime import UTC, datetime
from pathlib import Path

from lib.domain.records import RetrainDecision
from lib.loop.decisions import DECISIONS, keep_decisions, read_decisions

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def decided(reason: str, go: bool = False) -> list[RetrainDecision]:
    return [RetrainDecision(go=go, sequence="CP", priority=1, reason=reason)]


def test_a_count_that_grew_is_no_new_decision_and_another_reason_is(tmp_path: Path) -> None:
    for reason, go in (
        ("not due: 3 of 10 new labels", False),
        ("not due: 4 of 10 new labels", False),
        ("10 new labels; the last run began 1.5 h ago, 6 h must lie between", False),
        ("10 new labels; the last run began 1.6 h ago, 6 h must lie between", False),
        ("10 new labels since the last run (at least 10)", True),
    ):
        keep_decisions(tmp_path, decided(reason, go), NOON)
    found = read_decisions(tmp_path)
    assert [(one["go"], one["reason"][:12]) for one in found["history"]] == [
        (False, "not due: 3 o"),
        (False, "10 new label"),
        (True, "10 new label"),
    ]
    assert found["decisions"][0]["go"]


def test_a_file_that_cannot_be_read_is_no_decision(tmp_path: Path) -> None:
    (tmp_path / DECISIONS).write_text("{")
    assert read_decisions(tmp_path)["decisions"] == []
    keep_decisions(tmp_path, decided("an admin asked", go=True), NOON)
    assert len(read_decisions(tmp_path)["history"]) == 1
