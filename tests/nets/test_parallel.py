from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from lib.domain.errors import BadRequestError, NotEnoughLabelsError, WorkerError
from lib.domain.records import EpochReport, LabelledImage
from lib.nets.fit import fit
from lib.nets.launch import work
from lib.nets.networks import Plan
from lib.nets.trainee import FitSettings

Make = Callable[..., list[LabelledImage]]
SETTINGS = FitSettings(epochs=10, steps_per_epoch=3, device="cpu", checkpoint_s=0, threads=2, processes=2)
SCRIPT = """
    import os, pickle, sys
    from pathlib import Path

    from lib.nets.fit import fit

    cases, plan, settings, out = pickle.loads(Path(sys.argv[1]).read_bytes())
    result = fit(cases, cases[:3], plan, settings)
    if os.environ["RANK"] == "0":
        out.write_bytes(pickle.dumps(result))
"""


def kill_one_worker(_: EpochReport) -> None:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.environ().get("RANK") == "1":
                process.kill()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_worker_ends_the_run_and_the_next_one_ends_as_torchrun_does_without_a_kill(
    make_cases: Make, tiny_plan: Plan, tmp_path: Path
) -> None:
    cases, path = make_cases(4), tmp_path / "run.checkpoint"
    script, job, out = tmp_path / "train.py", tmp_path / "job", tmp_path / "result"
    script.write_text(textwrap.dedent(SCRIPT))
    job.write_bytes(pickle.dumps((cases, tiny_plan, replace(SETTINGS, threads=1), out)))
    torchrun = ("torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2")
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    subprocess.run([sys.executable, "-m", *torchrun, str(script), str(job)], env=environment, check=True)
    expected = pickle.loads(out.read_bytes())  # noqa: S301

    with pytest.raises(WorkerError, match="one of 2 training processes was lost"):
        fit(cases, cases[:3], tiny_plan, SETTINGS, checkpoint=path, on_epoch=kill_one_worker)
    assert path.is_file()
    seen: list[EpochReport] = []
    resumed = fit(cases, cases[:3], tiny_plan, SETTINGS, checkpoint=path, on_epoch=seen.append)

    assert 1 <= len(seen) < 10
    assert not path.exists()
    assert resumed.best_dice == expected.best_dice
    assert [report.loss for report in resumed.reports] == [report.loss for report in expected.reports]
    assert all(torch.equal(resumed.state[name], expected.state[name]) for name in expected.state)
    alone = fit(cases, [], tiny_plan, replace(SETTINGS, epochs=1, processes=1))
    assert alone.reports[0].loss != expected.reports[0].loss  # the other process's patches count


def test_what_a_worker_is_refused_is_told_to_whoever_asked(
    tiny_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    (tmp_path / "job").write_bytes(pickle.dumps(partial(fit, [], [], tiny_plan, replace(SETTINGS, processes=1))))
    with pytest.raises(SystemExit):
        work(tmp_path, os.getpid())
    assert isinstance(pickle.loads((tmp_path / "error").read_bytes()), NotEnoughLabelsError)  # noqa: S301
    assert not (tmp_path / "result").exists()


def test_a_run_stops_when_whoever_asked_for_it_is_gone(
    make_cases: Make, tiny_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    job = partial(fit, make_cases(1), [], tiny_plan, replace(SETTINGS, processes=1))
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    work(tmp_path, gone.pid)
    assert pickle.loads((tmp_path / "result").read_bytes()).stopped  # noqa: S301


def test_more_processes_than_gpus_are_refused(
    make_cases: Make, tiny_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(BadRequestError, match="this machine has 1"):
        fit(make_cases(1), [], tiny_plan, replace(SETTINGS, device="cuda"))
