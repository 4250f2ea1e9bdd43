"""A sequence is trained when there is reason to and nothing stands against it, and the queue never depends on luck."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations

import pytest

from lib.domain.errors import BadRequestError
from lib.domain.records import RetrainDecision
from lib.loop.policy import Device, RetrainRule, SequenceState, Snapshot, decide_retraining

GIB = 2**30
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
RULE = RetrainRule()
IDLE = Device(name="cuda:0", free_bytes=40 * GIB)
BERLIN = RetrainRule(quiet_from="22:00", quiet_until="06:00", time_zone="Europe/Berlin")


def snapshot(*states: SequenceState, now: datetime = NOON, devices: tuple[Device, ...] = (IDLE,)) -> Snapshot:
    return Snapshot(now=now, sequences=states, devices=devices, free_disk_bytes=100 * GIB)


def one(state: SequenceState, rule: RetrainRule = RULE, now: datetime = NOON) -> RetrainDecision:
    return decide_retraining(snapshot(state, now=now), rule)[0]


def ago(hours: float) -> datetime:
    return NOON - timedelta(hours=hours)


# ---- reasons


@pytest.mark.parametrize(("labels", "go"), [(9, False), (10, True), (11, True)])
def test_the_tenth_new_label_starts_a_run(labels: int, go: bool) -> None:
    found = one(SequenceState(code="CP", new_labels=labels, last_run=ago(24)))
    assert found.go is go
    assert (found.device == "cuda:0") is go
    assert f"{labels} {'new labels since' if go else 'of 10 new labels'}" in found.reason


def test_three_labels_of_one_new_scanner_start_a_run_and_three_of_three_scanners_do_not() -> None:
    together = one(SequenceState(code="CP", new_labels=3, new_scanner_labels={"UIH uMR 790": 3}, last_run=ago(24)))
    assert together.go
    assert "3 labels from UIH uMR 790, which the champion never saw (at least 3)" in together.reason
    apart = one(SequenceState(code="CP", new_labels=3, new_scanner_labels={"B": 1, "A": 1, "C": 1}, last_run=ago(24)))
    assert not apart.go
    assert apart.reason == "not due: 3 of 10 new labels, 1 of 3 from A"


@pytest.mark.parametrize(
    ("hours", "labels", "go"), [(167.9, 1, False), (168, 1, True), (1000, 0, False), (None, 1, True), (None, 0, False)]
)
def test_the_schedule_needs_time_and_a_new_label(hours: float | None, labels: int, go: bool) -> None:
    last = None if hours is None else ago(hours)
    assert one(SequenceState(code="CP", new_labels=labels, last_run=last)).go is go


def test_a_schedule_of_zero_hours_is_none() -> None:
    assert not one(SequenceState(code="CP", new_labels=9), RetrainRule(every_h=0)).go


def test_an_admin_waits_for_no_count_cool_down_or_quiet_hour() -> None:
    asked = SequenceState(code="CP", requested=True, last_run=ago(0.1))
    midnight = datetime(2026, 3, 5, tzinfo=UTC)
    assert one(asked, BERLIN, midnight) == RetrainDecision(
        go=True, sequence="CP", priority=1, reason="an admin asked", device="cuda:0"
    )


# ---- what stands against it


def test_the_cool_down_ends_to_the_second() -> None:
    state = SequenceState(code="CP", new_labels=50, last_run=ago(6))
    assert one(state).go
    early = one(replace(state, last_run=ago(6) + timedelta(seconds=1)))
    assert not early.go
    assert "50 new labels" in early.reason
    assert "the last run began 6.0 h ago, 6 h must lie between" in early.reason


@pytest.mark.parametrize(
    ("local", "go"),
    [("21:59", True), ("22:00", False), ("23:59", False), ("00:00", False), ("05:59", False), ("06:00", True)],
)
def test_quiet_hours_pass_midnight_in_local_time(local: str, go: bool) -> None:
    hour, minute = map(int, local.split(":"))
    winter = datetime(2026, 1, 10, hour, minute, tzinfo=timezone(timedelta(hours=1)))
    summer = datetime(2026, 7, 10, hour, minute, tzinfo=timezone(timedelta(hours=2)))
    for now in (winter, summer):
        found = one(SequenceState(code="CP", new_labels=10), BERLIN, now.astimezone(UTC))
        assert found.go is go
        assert go or f"quiet hours from 22:00 to 06:00, and it is {local} (Europe/Berlin)" in found.reason


@pytest.mark.parametrize(("hour", "go"), [(8, True), (9, False), (16, False), (17, True)])
def test_quiet_hours_within_a_day(hour: int, go: bool) -> None:
    rule = RetrainRule(quiet_from="09:00", quiet_until="17:00")
    assert one(SequenceState(code="CP", new_labels=10), rule, NOON.replace(hour=hour)).go is go


def test_a_moment_means_the_same_in_every_zone() -> None:
    state = SequenceState(code="CP", new_labels=10, last_run=ago(3))
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    assert one(state) == one(state, now=tokyo)


def test_a_clock_set_back_a_little_waits_and_one_set_back_far_does_not_stop_the_loop() -> None:
    ahead = SequenceState(code="CP", new_labels=10, last_run=ago(-1))
    assert "0.0 h ago" in one(ahead).reason
    assert not one(ahead).go
    assert one(replace(ahead, last_run=ago(-24 * 365))).go
    assert one(replace(ahead, last_run=ago(-24 * 365), new_labels=1)).go, "the schedule starts anew, too"


@pytest.mark.parametrize("requested", [False, True])
def test_short_disk_stops_even_an_admin(requested: bool) -> None:
    state = SequenceState(code="CP", new_labels=10, requested=requested)
    found = decide_retraining(replace(snapshot(state), free_disk_bytes=5 * GIB - 1), RULE)[0]
    assert not found.go
    assert "5.0 GiB of disk are free, 5 are needed" in found.reason
    assert decide_retraining(replace(snapshot(state), free_disk_bytes=5 * GIB), RULE)[0].go


@pytest.mark.parametrize(
    ("devices", "reason"),
    [
        ((), "no device is free: 0 known"),
        ((replace(IDLE, busy=True),), "no device is free: 1 known, each taken by a run"),
        ((replace(IDLE, free_bytes=GIB),), "1.0 GiB of device memory are free, 4 are needed"),
        ((replace(IDLE, busy=True), Device(name="b", free_bytes=2 * GIB)), "2.0 GiB of device memory"),
    ],
)
@pytest.mark.parametrize("requested", [False, True])
def test_without_a_usable_device_nothing_runs(devices: tuple[Device, ...], reason: str, requested: bool) -> None:
    state = SequenceState(code="CP", new_labels=10, requested=requested)
    found = decide_retraining(snapshot(state, devices=devices), RULE)[0]
    assert not found.go
    assert reason in found.reason


def test_memory_that_cannot_be_told_is_no_obstacle() -> None:
    assert decide_retraining(snapshot(SequenceState(code="CP", new_labels=10), devices=(Device(name="cpu"),)), RULE)[
        0
    ].go


def test_a_sequence_that_is_running_is_not_started_twice_even_on_an_idle_device() -> None:
    found = one(SequenceState(code="CP", new_labels=10, requested=True, running=True))
    assert not found.go
    assert "under way" in found.reason


# ---- the queue

CROWD = (
    SequenceState(code="T1WI", new_labels=0),
    SequenceState(code="T2WI", new_labels=2, last_run=ago(500)),
    SequenceState(code="CP", new_labels=30, last_run=ago(24)),
    SequenceState(code="NP", new_labels=4, new_scanner_labels={"UIH": 4}, last_run=ago(24)),
    SequenceState(code="DP", requested=True),
)


def test_one_device_takes_one_run_and_the_reason_decides_which() -> None:
    found = decide_retraining(snapshot(*CROWD), RULE)
    assert [item.sequence for item in found] == ["DP", "NP", "CP", "T2WI", "T1WI"]
    assert [item.go for item in found] == [True, False, False, False, False]
    assert [item.priority for item in found] == [1, 2, 3, 4, 5]
    assert "30 new labels" in found[2].reason
    assert "no device is free" in found[2].reason


def test_two_devices_take_two_runs_on_different_devices() -> None:
    devices = (replace(IDLE, busy=True), replace(IDLE, name="cuda:1"), replace(IDLE, name="cuda:2"))
    found = decide_retraining(snapshot(*CROWD, devices=devices), RULE)
    assert [(item.sequence, item.device) for item in found if item.go] == [("DP", "cuda:1"), ("NP", "cuda:2")]


def test_a_sequence_in_its_cool_down_gives_its_turn_to_the_next() -> None:
    cooling = SequenceState(code="CP", new_labels=50, last_run=ago(1))
    found = decide_retraining(snapshot(cooling, SequenceState(code="DP", new_labels=10, last_run=ago(10))), RULE)
    assert [(item.sequence, item.go) for item in found] == [("CP", False), ("DP", True)]


def test_ties_go_to_the_sites_order_then_labels_then_waiting_then_name() -> None:
    states = [
        SequenceState(code="A", new_labels=10, last_run=ago(10)),
        SequenceState(code="B", new_labels=10, last_run=ago(10)),
        SequenceState(code="C", new_labels=10, last_run=ago(11)),
        SequenceState(code="D", new_labels=11, last_run=ago(10)),
        SequenceState(code="E", new_labels=10),
        SequenceState(code="F", new_labels=10, last_run=ago(10)),
    ]
    rule = RetrainRule(first="F, X")
    for order in list(permutations(states))[::97]:
        found = decide_retraining(snapshot(*order), rule)
        assert [item.sequence for item in found] == ["F", "D", "E", "C", "A", "B"]


# ---- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"new_labels": 0}, "retrain_new_labels is 0; expected 1 or more"),
        ({"cool_down_h": -1.0}, "retrain_cool_down_h is -1; expected 0 or more"),
        ({"every_h": float("nan")}, "retrain_every_h is nan"),
        ({"quiet_from": "22:00"}, "expected two different times"),
        ({"quiet_from": "22:00", "quiet_until": "22:00"}, "expected two different times"),
        ({"quiet_from": "25:00", "quiet_until": "06:00"}, "hold '25:00'; expected a time as HH:MM"),
        ({"time_zone": "Mars/Olympus"}, "expected an IANA name"),
        ({"time_zone": "../secret"}, "expected an IANA name"),
    ],
)
def test_a_rule_that_cannot_be_applied_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        replace(RULE, **change)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        one(SequenceState(code="CP"), now=NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="no time zone"):
        one(SequenceState(code="CP", last_run=NOON.replace(tzinfo=None)))


def test_a_sequence_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="each sequence and device once"):
        decide_retraining(snapshot(SequenceState(code="CP"), SequenceState(code="CP")), RULE)
