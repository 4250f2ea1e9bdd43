"""Nothing that was put on record disappears or changes unnoticed, and a crash is told from a forgery."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from lib.domain.audit import AuditEvent
from lib.domain.errors import StorageError
from lib.registry.audit import AuditLog
from tests.registry.conftest import die_at

PROCESSES, EACH = 4, 12


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "live")


def event(number: int) -> AuditEvent:
    return AuditEvent(who="r1", what="label.accepted", why="é", about={"image_id": f"P{number}_CP"})


def filled(log: AuditLog, count: int = 5) -> list[bytes]:
    for number in range(count):
        log.append([event(number)])
    return log.file.read_bytes().splitlines(keepends=True)


def test_an_untouched_log_is_sound(log: AuditLog) -> None:
    lines = filled(log)
    check = log.verify(known=json.loads(lines[1])["hash"])
    assert (check.entries, check.problems, check.notes) == (5, (), ())
    assert check.head == json.loads(lines[-1])["hash"]


def test_an_empty_log_is_sound(log: AuditLog) -> None:
    assert log.verify().problems == ()


def changed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b"P2_CP", b"P9_CP"), *lines[3:]]


def removed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], *lines[3:]]


def inserted(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[1], *lines[2:]]


def swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[3], lines[2], lines[4]]


def rehashed(lines: list[bytes]) -> list[bytes]:
    """A forger who knows how one line's hash is made."""
    from lib.registry.audit import _canonical, _hash

    entry = {**json.loads(lines[2]), "who": "somebody else"}
    return [*lines[:2], _canonical({**entry, "hash": _hash(entry)}) + b"\n", *lines[3:]]


def unreadable(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], b"{}\n", *lines[3:]]


@pytest.mark.parametrize(
    ("forge", "said"),
    [
        (changed, "line 3 was changed"),
        (removed, "line 3 does not follow"),
        (inserted, "line 3 does not follow"),
        (swapped, "line 3 does not follow"),
        (rehashed, "line 4 does not follow"),
        (unreadable, "line 3 cannot be read"),
        (lambda lines: lines[:-1], "its end was cut off"),
        (lambda _: [], "its end was cut off"),
    ],
)
def test_a_forged_log_is_found_out(log: AuditLog, forge, said: str) -> None:
    log.file.write_bytes(b"".join(forge(filled(log))))
    assert any(said in problem for problem in log.verify().problems), log.verify()


@pytest.mark.parametrize("forge", [removed, unreadable, lambda lines: lines[:-1], lambda _: []])
def test_a_forged_log_stays_found_out_after_the_next_entry(log: AuditLog, forge) -> None:
    log.file.write_bytes(b"".join(forge(filled(log))))
    log.append([event(9)])
    assert log.verify().problems


def test_a_log_rewritten_from_its_start_lacks_the_hash_that_was_noted_elsewhere(log: AuditLog, tmp_path: Path) -> None:
    filled(log)
    noted = log.verify().head
    other = AuditLog(tmp_path / "other")
    filled(other, 6)
    assert other.verify().problems == ()
    assert "that was noted elsewhere" in other.verify(noted).problems[0]


def test_a_lost_head_is_a_problem_and_stays_one(log: AuditLog) -> None:
    filled(log)
    (log.folder / "audit.head.json").unlink()
    assert "audit.head.json is missing" in log.verify().problems[0]
    log.append([event(9)])
    assert "was missing" in log.verify().problems[0]


def test_a_damaged_head_is_said(log: AuditLog) -> None:
    filled(log)
    (log.folder / "audit.head.json").write_text("{")
    with pytest.raises(StorageError, match=r"audit\.head\.json cannot be read"):
        log.append([event(9)])


@pytest.mark.parametrize("cut", [1, 2, 30, 150])
def test_a_torn_line_is_kept_and_noted(log: AuditLog, cut: int) -> None:
    """What a crash leaves: the line half written, the head not yet."""
    lines = filled(log, 4)
    head = (log.folder / "audit.head.json").read_bytes()
    log.append([event(4)])
    whole = log.file.read_bytes()
    (log.folder / "audit.head.json").write_bytes(head)
    log.file.write_bytes(whole[: -1 - cut])
    torn = whole[sum(map(len, lines)) : -1 - cut]
    assert log.verify().problems == ()
    assert "torn" in log.verify().notes[0]

    log.append([event(5)])
    log.append([event(6)])
    check = log.verify()
    assert check.problems == ()
    assert f"{len(torn)} bytes before this line are torn" in check.notes[0]
    assert torn in log.file.read_bytes()
    entries = list(log.entries())
    assert [entry["what"] for entry in entries] == ["label.accepted"] * 4 + ["log.repaired"] + ["label.accepted"] * 2
    assert entries[4]["about"]["text"] in torn.decode()


@pytest.mark.parametrize("lost_break", [False, True])
def test_an_entry_that_the_head_does_not_know_yet_counts(log: AuditLog, lost_break: bool) -> None:
    filled(log, 1)
    head = (log.folder / "audit.head.json").read_bytes()
    log.append([event(1)])
    (log.folder / "audit.head.json").write_bytes(head)
    if lost_break:
        log.file.write_bytes(log.file.read_bytes()[:-1])
    assert "1 entries behind" in log.verify().notes[0]
    log.append([event(2)])
    assert [entry["about"]["image_id"] for entry in log.entries()] == ["P0_CP", "P1_CP", "P2_CP"]
    assert (log.verify().problems, log.verify().notes) == ((), ())


def test_several_processes_write_one_chain(log: AuditLog) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=lambda: filled(AuditLog(log.folder), EACH)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert log.verify().entries == PROCESSES * EACH
    assert log.verify().problems == ()


@pytest.mark.parametrize("step", range(1, 7))
def test_a_process_killed_at_any_step_leaves_a_log_that_goes_on(log: AuditLog, step: int) -> None:
    """Steps are the calls that reach the disk."""
    filled(log, 2)
    child = os.fork()
    if child == 0:
        try:
            die_at(step, "write", "fsync", "replace")
            AuditLog(log.folder).append([event(2)])
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert log.verify().problems == ()
    log.append([event(3)])
    assert log.verify().problems == ()
    assert [entry["about"]["image_id"] for entry in log.entries()][-1] == "P3_CP"
