"""A run's record says how it ended, also when its process cannot say so itself."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lib.domain.audit import AuditEvent
from lib.domain.errors import BusyError, NotEnoughLabelsError
from lib.domain.records import EpochReport
from lib.registry.runs import LAST_LINES, Runs

EPOCH = EpochReport(epoch=1, epochs=2, loss=0.5, dice={"mass": 0.4}, eta_s=9.0)
IN_TRAINING = """
import logging, sys, time
from pathlib import Path
from lib.domain.audit import off_the_record
from lib.domain.records import EpochReport
from lib.registry.runs import Runs

logging.basicConfig(level=logging.INFO)
with Runs(live=Path(sys.argv[1]), record=off_the_record).under_way("CP", "CP-1", 7) as diary:
    diary.epoch(EpochReport(epoch=1, epochs=2, loss=0.5, dice={}, eta_s=9.0))
    logging.info("the last words")
    print("going", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def said() -> list[AuditEvent]:
    return []


@pytest.fixture
def runs(tmp_path: Path, said: list[AuditEvent]) -> Runs:
    return Runs(live=tmp_path / "live", record=said.extend)


def test_a_run_shows_its_curve_while_it_goes_and_ends_as_finished(runs: Runs, said: list[AuditEvent]) -> None:
    with runs.under_way("CP", "CP-1", 7) as diary:
        diary.epoch(EPOCH)
        going = runs.going("CP")
        assert going is not None
        assert (going.status, going.epochs, going.to_json()["eta_s"]) == ("running", (EPOCH,), 9.0)
        assert runs.close_lost() == []
    (ended,) = runs.all()
    assert runs.latest() == ended
    assert (ended.status, ended.images, ended.to_json()["eta_s"]) == ("finished", 7, None)
    assert runs.going("CP") is None
    assert [event.what for event in said] == ["run.started", "run.finished"]


def test_an_error_ends_it_as_failed_with_the_last_lines_and_no_foreign_words(runs: Runs) -> None:
    def fail(version: str, error: Exception) -> None:
        with runs.under_way("CP", version, 7):
            for number in range(LAST_LINES + 5):
                logging.getLogger("lib").warning("line %d", number)
            raise error

    with pytest.raises(NotEnoughLabelsError):
        fail("CP-1", NotEnoughLabelsError("1 labelled image; expected more"))
    with pytest.raises(OSError):
        fail("CP-2", OSError("/data/Miller^Anna.nii.gz"))
    ours, theirs = runs.of("CP")
    assert (ours.status, ours.why) == ("failed", "1 labelled image; expected more")
    assert len(ours.last_lines) == LAST_LINES
    assert ours.last_lines[-1].endswith(f"line {LAST_LINES + 4}")
    assert theirs.why == "OSError"


def test_two_runs_of_a_sequence_at_once_are_refused(runs: Runs) -> None:
    with runs.under_way("CP", "CP-1", 7):
        with pytest.raises(BusyError, match="expected one at a time"), runs.under_way("CP", "CP-2", 7):
            pytest.fail("it began")
        with runs.under_way("NP", "NP-1", 7):
            pass
    assert [run.version for run in runs.of("CP")] == ["CP-1"]


@pytest.mark.parametrize(("asked", "status"), [(False, "failed"), (True, "stopped")])
def test_a_killed_process_is_noticed_by_others(runs: Runs, said: list[AuditEvent], asked: bool, status: str) -> None:
    command = [sys.executable, "-c", IN_TRAINING, str(runs.live)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2]
    )
    try:
        assert process.stdout.readline() == b"going\n"
        assert runs.close_lost() == []
        if asked:
            runs.ask_to_stop("CP", "an-admin")
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    (lost,) = runs.close_lost()
    assert (lost.status, len(lost.epochs)) == (status, 1)
    assert lost.last_lines[-1].endswith("the last words")
    assert "an-admin" in lost.why if asked else "killed, out of memory" in lost.why
    assert [event.what for event in said] == [f"run.{status}"]
    assert runs.close_lost() == []
    assert runs.all() == [lost]


def test_a_record_that_cannot_be_read_is_left_out(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    with runs.under_way("CP", "CP-1", 7):
        pass
    (runs.live / "CP" / "runs" / "CP-0.json").write_text("{")
    assert [run.version for run in runs.all()] == ["CP-1"]
    assert "run CP-0 cannot be read" in caplog.text
