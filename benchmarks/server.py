"""Start time, memory and /infer latency of the real server on this machine.

    python -m benchmarks.server --requests 10 --matrix 256 256 64

One phantom image, 256 x 256 x 64 voxels unless told otherwise. The first request (loading weights) is reported apart,
and so are requests whose proposal already waits on disk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psutil
import requests

from lib.configs.tasks import task_name
from lib.imaging.volume import write_volume
from lib.phantom.cohort import Size, make_case

MATRIX = (256, 256, 64)
START_S = 120


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--requests", type=int, default=10)
    options.add_argument("--sequence", default="NP")
    options.add_argument("--matrix", type=int, nargs=3, default=MATRIX)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        case = make_case(5, 0, given.sequence, vendors=["GE"], size=Size(matrix=tuple(given.matrix)))
        write_volume(case.image, studies / f"{case.record.image_id}.nii.gz")
        print(json.dumps(measure(studies, case.record.image_id, given.sequence, given.requests), indent=1))


def measure(studies: Path, image_id: str, code: str, count: int) -> dict[str, object]:
    """Start a server, ask it the same proposal several times, end it."""
    with running(studies) as (url, process, ready_s):
        idle_mb = _resident_mb(process)
        address = f"{url}/infer/{task_name(code)}?image={image_id}&output=all"
        seconds = []
        for _ in range(count + 1):
            for waiting in (studies / ".renal" / "waiting").glob("*.json"):
                waiting.unlink()
            seconds.append(_timed(address))
        waited = [_timed(address) for _ in range(count)]
        return {
            "ready_s": round(ready_s, 1),
            "resident_mb_idle": idle_mb,
            "resident_mb_after": _resident_mb(process),
            "peak_mb": _peak_mb(process),
            "first_s": seconds[0],
            "p50_s": median(seconds[1:]),
            "worst_s": max(seconds[1:]),
            "waiting_p50_s": median(waited),
            "requests": count,
            "cores": os.cpu_count(),
        }


def _timed(address: str) -> float:
    began = time.monotonic()
    requests.post(address, timeout=300).raise_for_status()
    return round(time.monotonic() - began, 2)


@contextlib.contextmanager
def running(studies: Path) -> Iterator[tuple[str, psutil.Process, float]]:
    """Start the server on a free port of loopback and end it by its id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.monotonic()
    command = [sys.executable, "main.py", "serve", "--studies", str(studies), "--port", str(port)]
    alone = {**os.environ, "RENAL_LOOP_AHEAD": "0", "RENAL_LOOP_SCHEDULE": "off", "RENAL_LOOP_MEASURE": "off"}
    process = subprocess.Popen(command, env=alone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        while time.monotonic() - began < START_S:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{url}/info/", timeout=30).ok:
                    break
            time.sleep(0.1)
        yield url, psutil.Process(process.pid), time.monotonic() - began
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _resident_mb(process: psutil.Process) -> int:
    resident: int = process.memory_info().rss
    return round(resident / 1e6)


def _peak_mb(process: psutil.Process) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 // 1_000_000 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
