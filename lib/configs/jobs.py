"""Long commands that an admin starts from the page: each a process of its own, with a log that outlives the server."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from lib.configs.settings import APP_FOLDER, ENVIRONMENT_PREFIX, Settings
from lib.domain.audit import AuditEvent
from lib.domain.errors import BadRequestError, BusyError
from lib.imaging.volume import write_bytes

logger = logging.getLogger(__name__)

JOB_STARTED = "job.started"
_LAST_LINES = 12
_MOST_SHOWN = 10
_NICENESS = 10
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}")
_CENTRE = re.compile(r"\w[\w .()-]{0,63}")
_TRY_AGAIN_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """One row: a command that may be started.

    Attributes:
        needs_dicom: Whether it reads a folder of the inbox, for a centre.
        arguments: Of ``main.py``, from (cohort, DICOM folder, centre, folder of results); several run one by one.
    """

    name: str
    title: str
    needs_dicom: bool
    arguments: Callable[[str, str, str, str], tuple[tuple[str, ...], ...]]


JOB_KINDS: dict[str, JobKind] = {
    row.name: row
    for row in (
        JobKind(
            name="import",
            title="Import a folder of DICOM",
            needs_dicom=True,
            arguments=lambda cohort, dicom, centre, _: (("import", dicom, "--into", cohort, "--centre", centre),),
        ),
        JobKind(
            name="onboard",
            title="Take a new scanner on board",
            needs_dicom=True,
            arguments=lambda cohort, dicom, centre, _: (("onboard", dicom, "--into", cohort, "--centre", centre),),
        ),
        JobKind(
            name="evaluate",
            title="Evaluate the models that serve on every label",
            needs_dicom=False,
            arguments=lambda cohort, _, __, out: (
                ("predict", cohort, "--out", f"{out}/predictions"),
                ("evaluate", cohort, "--predictions", f"{out}/predictions", "--out", f"{out}/report"),
            ),
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One that was started.

    Attributes:
        began: ISO 8601, UTC.
        ended: The same; empty while it runs.
        state: ``running``, ``done``, ``failed``, or ``lost`` when the server ended before it.
        said: Last lines of its log.
    """

    name: str
    kind: str
    who: str
    began: str
    ended: str = ""
    state: str = "running"
    said: tuple[str, ...] = ()


class Jobs:
    """Starts one job at a time and remembers all; one server's."""

    def __init__(self, settings: Settings, cohort: Path, inbox: str) -> None:
        """Nothing is started or written.

        Args:
            settings: Of the installation.
            cohort: Folder that the server works on.
            inbox: Folder of the server whose folders may be imported; empty for none.
        """
        self._settings, self._cohort = settings, cohort
        self._folder = Path(settings.live) / "jobs"
        self._inbox = Path(inbox) if inbox else None
        self._lock = threading.Lock()
        self._running = ""

    def inbox(self) -> list[str]:
        """Names of the folders and archives that may be imported, sorted."""
        if self._inbox is None or not self._inbox.is_dir():
            return []
        return sorted(
            path.name
            for path in self._inbox.iterdir()
            if _FOLDER_NAME.fullmatch(path.name) and not path.is_symlink() and (path.is_dir() or path.suffix == ".zip")
        )

    def start(self, kind: str, *, who: str, dicom: str = "", centre: str = "") -> Job:
        """Start a command.

        Raises:
            BadRequestError: When there is no such kind, or it lacks a folder of the inbox or a centre.
            BusyError: When another one runs.
        """
        row = JOB_KINDS.get(kind)
        if row is None:
            msg = f"no job {kind!r}; expected one of: {', '.join(JOB_KINDS)}"
            raise BadRequestError(msg)
        source = self._source(dicom, centre) if row.needs_dicom else ""
        with self._lock:
            if self._running:
                msg = f"the job {self._running} runs; expected one at a time"
                raise BusyError(msg, retry_after_s=_TRY_AGAIN_S)
            job = Job(
                name=f"{kind}-{_now():%Y%m%dT%H%M%SZ}", kind=kind, who=who, began=_now().isoformat("T", "seconds")
            )
            self._running = job.name
        self._write(job)
        self._settings.audit().append([AuditEvent(who=who or "an admin", what=JOB_STARTED, about={"job": job.name})])
        commands = row.arguments(str(self._cohort), source, centre, str(self._folder / job.name))
        threading.Thread(target=self._run, args=(job, commands), daemon=True, name=job.name).start()
        return job

    def all(self) -> list[Job]:
        """The latest jobs, newest first."""
        found = []
        for path in sorted(self._folder.glob("*.json"), key=lambda one: one.stat().st_mtime_ns)[-_MOST_SHOWN:]:
            job = _read(path)
            if job is None:
                continue
            lost = job.state == "running" and job.name != self._running
            state = "lost" if lost else job.state
            found.append(Job(**{**asdict(job), "state": state, "said": self._said(job.name)}))
        return found[::-1]

    def _source(self, dicom: str, centre: str) -> str:
        if self._inbox is None or dicom not in self.inbox():
            msg = "no such folder in the inbox; expected one that the page lists (setting inbox)"
            raise BadRequestError(msg)
        if not _CENTRE.fullmatch(centre):
            msg = "the centre's name is missing or has other signs than letters, digits, space and _.()-"
            raise BadRequestError(msg)
        return str(self._inbox / dicom)

    def _run(self, job: Job, commands: tuple[tuple[str, ...], ...]) -> None:
        failed = False
        try:
            with (self._folder / f"{job.name}.log").open("wb") as log:
                failed = any(self._command(words, log.fileno()) for words in commands)
        except OSError as error:
            logger.warning("a job could not be started: %s", type(error).__name__)
            failed = True
        ended = {"ended": _now().isoformat("T", "seconds"), "state": "failed" if failed else "done"}
        self._write(Job(**{**asdict(job), **ended, "said": ()}))
        with self._lock:
            self._running = ""

    def _command(self, words: tuple[str, ...], log: int) -> int:
        given = {"LIVE": self._settings.live, "KEEP": str(self._settings.keep), "STORE": self._settings.store}
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, str(APP_FOLDER / "main.py"), *words],
            env={**os.environ, **{ENVIRONMENT_PREFIX + name: value for name, value in given.items()}},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
        return process.wait()

    def _said(self, name: str) -> tuple[str, ...]:
        try:
            text = (self._folder / f"{name}.log").read_text(errors="replace")
        except FileNotFoundError:
            return ()
        return tuple(text.replace("\r", "\n").splitlines()[-_LAST_LINES:])

    def _write(self, job: Job) -> None:
        write_bytes(json.dumps(asdict(job)).encode(), self._folder / f"{job.name}.json")


def _read(path: Path) -> Job | None:
    try:
        found: Mapping[str, object] = json.loads(path.read_bytes())
        return Job(**{**found, "said": ()})  # type: ignore[arg-type]
    except (OSError, ValueError, TypeError):
        return None


def _now() -> datetime:
    return datetime.now(UTC)
