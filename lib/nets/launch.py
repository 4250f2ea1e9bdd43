"""Start a training run under ``torchrun``, in several processes on this machine, and follow it from outside.

One folder is all that both sides share: the job in, epochs, result and error out, and a file that says stop. When a
process is lost, torchrun ends the others; when whoever asked is gone, the run stops.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import psutil

from lib.domain.errors import RenalError, WorkerError
from lib.domain.records import EpochReport
from lib.imaging.volume import write_bytes

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
_LOOK_S = 0.2


def in_processes(
    count: int,
    threads: int,
    job: Callable[..., Result],
    on_epoch: Callable[[EpochReport], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Run a job in several processes at once.

    Args:
        count: Processes.
        threads: CPU threads of each.
        job: Can be pickled; takes ``on_epoch`` and ``should_stop``. The first process's result is returned.
        on_epoch: Told after every epoch.
        should_stop: Asked several times a second.

    Raises:
        RenalError: What a process raised.
        WorkerError: When a process was lost.
    """
    with tempfile.TemporaryDirectory(prefix="renal-loop-") as name:
        folder = Path(name)
        write_bytes(pickle.dumps(job), folder / "job")
        command = ("--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(count), "--module", __name__)
        run = subprocess.Popen(  # noqa: S603 - of our own making
            [sys.executable, "-m", "torch.distributed.run", *command, str(folder), str(os.getpid())],
            env=_environment(threads),
        )
        try:
            _follow(run, folder, on_epoch, should_stop)
        finally:
            run.terminate()  # torchrun ends its processes, then itself
            run.wait()
        if (folder / "error").exists():
            raise _read(folder / "error")
        if run.returncode or not (folder / "result").exists():
            msg = f"one of {count} training processes was lost (see the log); what serves is as it was"
            raise WorkerError(msg)
        result: Result = _read(folder / "result")
        return result


def _environment(threads: int) -> dict[str, str]:
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} | dict(os.environ)
    return loopback | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": str(threads)}


def _follow(
    run: subprocess.Popen[bytes],
    folder: Path,
    on_epoch: Callable[[EpochReport], None],
    should_stop: Callable[[], bool],
) -> None:
    told = 0
    ended = False
    while not ended:
        ended = run.poll() is not None  # before the look: what was written last is told as well
        lines = (folder / "epochs").read_text().splitlines(keepends=True) if (folder / "epochs").exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        for line in whole[told:]:
            on_epoch(EpochReport(**json.loads(line)))
        told = len(whole)
        if should_stop():
            (folder / "stop").touch()
        if not ended:
            time.sleep(_LOOK_S)


def _read(path: Path) -> Any:
    return pickle.loads(path.read_bytes())  # noqa: S301 - in a folder that only this user can write


def work(folder: Path, asked_by: int) -> None:
    """Do the job, as one of the processes; the first one tells how it goes."""
    first = os.environ["RANK"] == "0"
    logging.basicConfig(level=logging.INFO if first else logging.WARNING, format="%(message)s")

    def tell(report: EpochReport) -> None:
        if first:
            with (folder / "epochs").open("a") as file:
                file.write(json.dumps(asdict(report)) + "\n")

    def should_stop() -> bool:
        return (folder / "stop").exists() or not psutil.pid_exists(asked_by)

    try:
        result = _read(folder / "job")(on_epoch=tell, should_stop=should_stop)
    except RenalError as error:
        write_bytes(pickle.dumps(error), folder / "error")
        raise SystemExit(1) from error
    if first:
        write_bytes(pickle.dumps(result), folder / "result")


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
