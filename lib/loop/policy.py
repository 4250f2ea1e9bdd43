"""When to train which sequence again. Pure: what is the case in, one decision per sequence out, the next one first.

Reasons to train, strongest first: an admin asked; enough labels from a scanner that the champion never saw; enough new
labels; the schedule. An admin's request waits for no count, cool-down or quiet hour. Nothing overrides a busy device or
short disk or memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lib.domain.errors import BadRequestError
from lib.domain.records import RetrainDecision

_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainRule:
    """When a sequence is trained again.

    Attributes:
        new_labels: New final labels since the last run that start one.
        new_scanner_labels: Labels from one scanner that the champion never saw that start one.
        every_h: Hours after the last run when one is due if there is any new label; 0 for never.
        cool_down_h: Hours between the start of one run of a sequence and the next.
        quiet_from: Local time ``HH:MM`` from which no run starts; empty for no quiet hours.
        quiet_until: Local time ``HH:MM`` from which runs start again; before ``quiet_from`` when midnight is between.
        time_zone: IANA name of the zone of the quiet hours.
        first: Codes that go before others when equally due, comma-separated.
        min_disk_gib: Free disk that a run needs.
        min_memory_gib: Free memory of its device that a run needs.
    """

    new_labels: int = 10
    new_scanner_labels: int = 3
    every_h: float = 168.0
    cool_down_h: float = 6.0
    quiet_from: str = ""
    quiet_until: str = ""
    time_zone: str = "UTC"
    first: str = ""
    min_disk_gib: float = 5.0
    min_memory_gib: float = 4.0

    def __post_init__(self) -> None:
        """Refuse a rule that cannot be applied.

        Raises:
            BadRequestError: When a figure is out of range, or a time or zone cannot be read.
        """
        for name, lowest in _LOWEST.items():
            value = getattr(self, name)
            if not lowest <= value:
                msg = f"setting retrain_{name} is {value:g}; expected {lowest:g} or more"
                raise BadRequestError(msg)
        if (self.quiet_from == "") != (self.quiet_until == "") or self.quiet_from == self.quiet_until != "":
            msg = f"quiet hours are {self.quiet_from!r} to {self.quiet_until!r}; expected two different times, or none"
            raise BadRequestError(msg)
        self.quiet_hours()
        self.zone()

    def quiet_hours(self) -> tuple[time, time] | None:
        """Local start and end; None when there are none.

        Raises:
            BadRequestError: When they are no times of the day.
        """
        return (_time(self.quiet_from), _time(self.quiet_until)) if self.quiet_from else None

    def zone(self) -> ZoneInfo:
        """Zone of the quiet hours.

        Raises:
            BadRequestError: When no zone has this name.
        """
        try:
            return ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            msg = f"setting retrain_time_zone is {self.time_zone!r}; expected an IANA name such as 'Europe/Berlin'"
            raise BadRequestError(msg) from None


_LOWEST = {
    "new_labels": 1,
    "new_scanner_labels": 1,
    "every_h": 0,
    "cool_down_h": 0,
    "min_disk_gib": 0,
    "min_memory_gib": 0,
}


def _time(text: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M").time()
    except ValueError:
        msg = f"quiet hours hold {text!r}; expected a time as HH:MM"
        raise BadRequestError(msg) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceState:
    """What is the case for one sequence.

    Attributes:
        new_labels: Final labels of training patients that came after the last run began.
        new_scanner_labels: Labels per scanner that the champion never saw.
        last_run: When the last run began, with a zone; None when there was none.
        requested: Whether an admin asked for a run.
        running: Whether a run is under way.
    """

    code: str
    new_labels: int = 0
    new_scanner_labels: Mapping[str, int] = field(default_factory=dict)
    last_run: datetime | None = None
    requested: bool = False
    running: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A GPU, or the CPU.

    Attributes:
        busy: Whether a run is on it.
        free_bytes: Free memory; None when it cannot be told.
    """

    name: str
    busy: bool = False
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that the decision rests on, at one moment.

    Attributes:
        now: With a zone.
        free_disk_bytes: Where weights are written.
    """

    now: datetime
    sequences: tuple[SequenceState, ...]
    devices: tuple[Device, ...]
    free_disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """A reason to train; the rank orders reasons, 0 first."""

    rank: int
    reason: str


_ASKED, _NEW_SCANNER, _LABELS, _SCHEDULE, _NOT_DUE = range(5)


def decide_retraining(snapshot: Snapshot, rule: RetrainRule) -> list[RetrainDecision]:
    """Decide for every sequence whether it is trained now, and on which device; the queue's order.

    Raises:
        ValueError: When a time has no zone, or a sequence or device is named twice.
    """
    _check(snapshot)
    dues = {state.code: _due(state, snapshot.now, rule) for state in snapshot.sequences}
    queue = sorted(snapshot.sequences, key=lambda state: _order(state, dues[state.code], snapshot.now, rule))
    free = [device.name for device in snapshot.devices if _usable(device, rule)]
    decisions = []
    for place, state in enumerate(queue, start=1):
        due = dues[state.code]
        obstacle = _obstacle(state, due, snapshot, rule) or ("" if free else _no_device(snapshot.devices, rule))
        device = "" if obstacle else free.pop(0)
        reason = f"{due.reason}; {obstacle}" if obstacle and due.rank != _NOT_DUE else obstacle or due.reason
        decisions.append(
            RetrainDecision(go=not obstacle, sequence=state.code, priority=place, reason=reason, device=device)
        )
    return decisions


def _check(snapshot: Snapshot) -> None:
    moments = [snapshot.now, *(state.last_run for state in snapshot.sequences if state.last_run)]
    if any(moment.utcoffset() is None for moment in moments):
        msg = "a moment has no time zone; expected one on every moment"
        raise ValueError(msg)
    for names in ([state.code for state in snapshot.sequences], [device.name for device in snapshot.devices]):
        if len(set(names)) < len(names):
            msg = f"{len(names)} names, {len(set(names))} different ones; expected each sequence and device once"
            raise ValueError(msg)


# ---- reasons to train


def _due(state: SequenceState, now: datetime, rule: RetrainRule) -> _Due:
    if state.requested:
        return _Due(rank=_ASKED, reason="an admin asked")
    scanner, count = _newest_scanner(state)
    if count >= rule.new_scanner_labels:
        reason = f"{count} labels from {scanner}, which the champion never saw (at least {rule.new_scanner_labels})"
        return _Due(rank=_NEW_SCANNER, reason=reason)
    if state.new_labels >= rule.new_labels:
        return _Due(
            rank=_LABELS, reason=f"{state.new_labels} new labels since the last run (at least {rule.new_labels})"
        )
    if _scheduled(state, now, rule):
        return _Due(
            rank=_SCHEDULE,
            reason=f"{state.new_labels} new labels, and the last run is {rule.every_h:g} h ago or was never",
        )
    seen = f"{state.new_labels} of {rule.new_labels} new labels"
    elsewhere = f", {count} of {rule.new_scanner_labels} from {scanner}" if count else ""
    return _Due(rank=_NOT_DUE, reason=f"not due: {seen}{elsewhere}")


def _newest_scanner(state: SequenceState) -> tuple[str, int]:
    """Scanner that the champion never saw with the most labels; ties go to the first name."""
    ranked = sorted(state.new_scanner_labels.items(), key=lambda item: (-item[1], item[0]))
    return ranked[0] if ranked else ("", 0)


def _scheduled(state: SequenceState, now: datetime, rule: RetrainRule) -> bool:
    if rule.every_h == 0 or state.new_labels == 0:
        return False
    since = _since_last_run(state, now, rule)
    return since is None or since >= timedelta(hours=rule.every_h)


def _since_last_run(state: SequenceState, now: datetime, rule: RetrainRule) -> timedelta | None:
    """Time since the last run began; None when there was none, or its time cannot be believed.

    A last run that lies ahead means that the clock was set back. A little, and no time has passed; by more than a
    cool-down, and the noted time is worthless: waiting for it could take years.
    """
    if state.last_run is None:
        return None
    since = now - state.last_run
    if since >= timedelta(0):
        return since
    return timedelta(0) if -since <= timedelta(hours=rule.cool_down_h) else None


# ---- the queue


def _order(state: SequenceState, due: _Due, now: datetime, rule: RetrainRule) -> tuple[int, int, int, float, str]:
    """Stronger reason, then the site's order, then more new labels, then the longest wait, then the name."""
    first = [code.strip() for code in rule.first.split(",")]
    place = first.index(state.code) if state.code in first else len(first)
    since = _since_last_run(state, now, rule)
    waited_s = float("inf") if since is None else since.total_seconds()
    return due.rank, place, -state.new_labels, -waited_s, state.code


# ---- what stands against it


def _obstacle(state: SequenceState, due: _Due, snapshot: Snapshot, rule: RetrainRule) -> str:
    """What stands against a run of this sequence now; empty when nothing does."""
    if state.running:
        return "a run of this sequence is under way"
    if due.rank == _NOT_DUE:
        return due.reason
    if due.rank != _ASKED and (wait := _too_early(state, snapshot.now, rule)):
        return wait
    if snapshot.free_disk_bytes < rule.min_disk_gib * _GIB:
        return f"{snapshot.free_disk_bytes / _GIB:.1f} GiB of disk are free, {rule.min_disk_gib:g} are needed"
    return ""


def _too_early(state: SequenceState, now: datetime, rule: RetrainRule) -> str:
    since = _since_last_run(state, now, rule)
    if since is not None and since < timedelta(hours=rule.cool_down_h):
        return f"the last run began {since / timedelta(hours=1):.1f} h ago, {rule.cool_down_h:g} h must lie between"
    quiet = rule.quiet_hours()
    local = now.astimezone(rule.zone())
    if quiet and _within(local.time(), *quiet):
        return f"quiet hours from {rule.quiet_from} to {rule.quiet_until}, and it is {local:%H:%M} ({rule.time_zone})"
    return ""


def _within(moment: time, start: time, end: time) -> bool:
    """Whether a time of the day is in [start, end), which may go past midnight."""
    if start < end:
        return start <= moment < end
    return moment >= start or moment < end


def _usable(device: Device, rule: RetrainRule) -> bool:
    return not device.busy and (device.free_bytes is None or device.free_bytes >= rule.min_memory_gib * _GIB)


def _no_device(devices: Sequence[Device], rule: RetrainRule) -> str:
    idle = [device.free_bytes for device in devices if not device.busy and not _usable(device, rule)]
    if idle:
        most = max(free for free in idle if free is not None) / _GIB
        return f"{most:.1f} GiB of device memory are free, {rule.min_memory_gib:g} are needed"
    return f"no device is free: {len(devices)} known, each taken by a run"
