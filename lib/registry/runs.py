"""Training runs, one file each: how they go, how they ended, and the last lines of their log.

``live/<CODE>/runs/<version>.json``   the record below, replaced after every epoch
``live/<CODE>/runs/<version>.log``    what the run said, as far as it came
``live/<CODE>/runs/<version>.stop``   who asked it to stop
``live/<CODE>/run.going``             names the run that is under way, from before its record is written until it ended
``live/<CODE>/run.lock``              held while the run's process lives; the system lets go of it however that ends

So a run that was killed, or went down with the machine, is known by its lock that nobody holds: ``close_lost`` then
notes how it ended. ``Runs.all()`` is what a page of runs reads, ``Runs.latest()`` what /train shows.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from filelock import FileLock, Timeout

from lib.domain.audit import RUN_FAILED, RUN_FINISHED, RUN_STARTED, RUN_STOPPED, AuditEvent, Record
from lib.domain.errors import BusyError, RenalError
from lib.domain.records import EpochReport
from lib.imaging.volume import write_bytes
from lib.registry.figures import finite
from lib.registry.versions import checked_version

logger = logging.getLogger(__name__)

LAST_LINES = 20
RUNNING: Final = "running"
FINISHED: Final = "finished"
FAILED: Final = "failed"
STOPPED: Final = "stopped"
Status = Literal["running", "finished", "failed", "stopped"]
_FOLDER, _LOCK = "runs", "run.lock"
_TRY_AGAIN_S = 60
_EVENTS = {FINISHED: RUN_FINISHED, FAILED: RUN_FAILED, STOPPED: RUN_STOPPED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training run.

    Attributes:
        version: That it makes, and its name.
        began: ISO 8601, UTC.
        ended: The same; empty while it is under way.
        images: Labelled images that it was given.
        epochs: So far: loss and validation Dice, and the seconds that were left then.
        why: How it ended, in a sentence; empty when it speaks for itself.
        last_lines: Of its log, when it failed or was stopped.
    """

    code: str
    version: str
    status: Status
    began: str
    ended: str = ""
    images: int = 0
    epochs: tuple[EpochReport, ...] = ()
    why: str = ""
    last_lines: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what clients show; a number that JSON cannot hold becomes null."""
        left_s = self.epochs[-1].eta_s if self.epochs and self.status == RUNNING else None
        return {name: finite(value) for name, value in (*asdict(self).items(), ("eta_s", left_s))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The runs of one installation.

    Attributes:
        live: Folder that retraining writes to.
        record: Takes the events of the audit log.
    """

    live: Path
    record: Record

    @contextlib.contextmanager
    def under_way(self, code: str, version: str, images: int) -> Iterator[RunDiary]:
        """Keep the record of a run while its block lasts; an exception ends it as failed and goes on.

        Raises:
            BusyError: When another process trains this sequence.
        """
        try:
            held = self._lock(code).acquire(blocking=False)
        except Timeout:
            msg = f"a run of sequence {code!r} is under way in another process; expected one at a time"
            raise BusyError(msg, retry_after_s=_TRY_AGAIN_S) from None
        with held:
            run = Run(code=code, version=version, status=RUNNING, began=_now(), images=images)
            diary = RunDiary(self, run)
            write_bytes(version.encode(), self._going(code))
            self._write(run)
            self._say(run, RUN_STARTED, images=images)
            with _copied_to(self._file(run, ".log")):
                try:
                    yield diary
                except BaseException as error:
                    self._end(diary.run, FAILED, _sentence(error))
                    raise
            self._end(diary.run, FINISHED)

    def ask_to_stop(self, code: str, who: str) -> None:
        """Note who is about to stop a run, so that its end is not taken for a failure."""
        run = self.going(code)
        if run:
            write_bytes((who or "an admin").encode(), self._file(run, ".stop"))

    def close_lost(self) -> list[Run]:
        """End the records of runs whose process is gone; return those runs."""
        closed = (self._close_lost(code) for code in self.codes() if self._going(code).exists())
        return [run for run in closed if run]

    def all(self) -> list[Run]:
        """Every run of every sequence, oldest first."""
        return sorted((run for code in self.codes() for run in self.of(code)), key=lambda run: run.began)

    def of(self, code: str) -> list[Run]:
        """Every run of a sequence, oldest first; a record that cannot be read is left out, and said."""
        found = []
        for path in self._folder(code).glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                run = _read(path)
                found += [run] if run else []
        return sorted(found, key=lambda run: run.began)

    def latest(self) -> Run | None:
        """The run that began last."""
        found = [(path.stat().st_mtime_ns, path) for path in self.live.glob(f"*/{_FOLDER}/*.json")]
        return _read(max(found)[1]) if found else None

    def going(self, code: str) -> Run | None:
        """The run of a sequence that is under way; call ``close_lost`` before, where that matters."""
        try:
            version = self._going(code).read_text()
            run = _read(self._folder(code) / f"{version}.json")
        except FileNotFoundError:
            return None
        return run if run and run.status == RUNNING else None

    def codes(self) -> list[str]:
        """Sequences that had a run."""
        return sorted(path.parent.name for path in self.live.glob(f"*/{_FOLDER}"))

    # ---- inside

    def _close_lost(self, code: str) -> Run | None:
        try:
            with self._lock(code).acquire(blocking=False):
                run = self.going(code)
                closed = self._lost(run) if run else None
                self._going(code).unlink(missing_ok=True)
                return closed
        except Timeout:  # its process lives
            return None

    def _lost(self, run: Run) -> Run:
        try:
            who = self._file(run, ".stop").read_text()
        except FileNotFoundError:
            return self._end(run, FAILED, "its process ended without a word: killed, out of memory, or a crash")
        return self._end(run, STOPPED, f"stopped by {who}")

    def _end(self, run: Run, status: Status, why: str = "") -> Run:
        lines = () if status == FINISHED else _last_lines(self._file(run, ".log"))
        ended = replace(run, status=status, ended=_now(), why=why, last_lines=lines)
        self._write(ended)
        self._say(ended, _EVENTS[status], epochs=len(ended.epochs))
        self._going(run.code).unlink(missing_ok=True)
        return ended

    def _write(self, run: Run) -> None:
        write_bytes(json.dumps(finite(asdict(run))).encode(), self._file(run, ".json"))

    def _say(self, run: Run, what: str, **about: object) -> None:
        told = {"code": run.code, "version": run.version, **about}
        self.record([AuditEvent(who="training", what=what, why=run.why, about=told)])

    def _file(self, run: Run, suffix: str) -> Path:
        return self._folder(run.code) / f"{checked_version(run.version)}{suffix}"

    def _folder(self, code: str) -> Path:
        return self.live / code / _FOLDER

    def _going(self, code: str) -> Path:
        return self.live / code / "run.going"

    def _lock(self, code: str) -> FileLock:
        self._folder(code).mkdir(parents=True, exist_ok=True)
        return FileLock(self.live / code / _LOCK)


class RunDiary:
    """What a run under way notes of itself."""

    def __init__(self, runs: Runs, run: Run) -> None:
        self._runs, self.run = runs, run

    def epoch(self, report: EpochReport) -> None:
        """Note an epoch; the curve can be read from then on."""
        self.run = replace(self.run, epochs=(*self.run.epochs, report))
        self._runs._write(self.run)


def _read(path: Path) -> Run | None:
    try:
        found = json.loads(path.read_bytes())
        epochs = tuple(EpochReport(**report) for report in found.pop("epochs"))
        return Run(**{**found, "last_lines": tuple(found["last_lines"])}, epochs=epochs)
    except (ValueError, TypeError, KeyError) as error:
        logger.error("the record of run %s cannot be read (%s): it is left out", path.stem, type(error).__name__)  # noqa: TRY400 - the file is at fault, not this code
        return None


@contextlib.contextmanager
def _copied_to(file: Path) -> Iterator[None]:
    """Write what is logged to a file, too: it outlives the process and the server that shows it."""
    handler = logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _last_lines(file: Path) -> tuple[str, ...]:
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return tuple(line.rstrip("\n") for line in deque(lines, LAST_LINES))
    except FileNotFoundError:
        return ()


def _sentence(error: BaseException) -> str:
    """What to say of an error: only messages of our own are known to name no patient."""
    return str(error) if isinstance(error, RenalError) else type(error).__name__


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
