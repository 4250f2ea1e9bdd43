"""How long /info takes while readers ask for proposals, on the real server.

    python -m benchmarks.responsive --readers 4 --seconds 30

One phantom image of 256 x 256 x 64 voxels; each reader asks for the next proposal as soon as it has one.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import requests

from benchmarks.server import MATRIX, running
from lib.imaging.volume import write_volume
from lib.phantom.cohort import Size, make_case

EVERY_S = 0.05


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--readers", type=int, default=4)
    options.add_argument("--seconds", type=float, default=30)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        case = make_case(5, 0, "NP", vendors=["GE"], size=Size(matrix=MATRIX))
        write_volume(case.image, studies / f"{case.record.image_id}.nii.gz")
        with running(studies) as (url, _, _):
            waiting = studies / ".renal" / "waiting" / f"{case.record.image_id}.json"
            print(json.dumps(measure(url, case.record.image_id, given.readers, given.seconds, waiting), indent=1))


def measure(url: str, image_id: str, readers: int, seconds: float, waiting: Path) -> dict[str, object]:
    """Latencies of /info without and with readers, in milliseconds; ``waiting`` is removed, so that each computes."""
    infer = f"{url}/infer/segment_np?image={image_id}&output=json"
    requests.post(infer, timeout=300).raise_for_status()
    idle = latencies(url, time.monotonic() + min(seconds, 5))
    stop, done = threading.Event(), []

    def read() -> None:
        with requests.Session() as http:
            while not stop.is_set():
                waiting.unlink(missing_ok=True)
                http.post(infer, timeout=300).raise_for_status()
                done.append(time.monotonic())

    with ThreadPoolExecutor(readers) as pool:
        jobs = [pool.submit(read) for _ in range(readers)]
        busy = latencies(url, time.monotonic() + seconds)
        stop.set()
        for job in jobs:
            job.result()
    load = os.getloadavg()[0]
    shown = {"readers": readers, "proposals": len(done), "cores": os.cpu_count(), "load_average": round(load, 1)}
    return {**shown, "info_idle_ms": figures(idle), "info_busy_ms": figures(busy)}


def latencies(url: str, end: float) -> list[float]:
    found = []
    with requests.Session() as http:
        while time.monotonic() < end:
            began = time.monotonic()
            http.get(f"{url}/info/", timeout=60).raise_for_status()
            found.append(time.monotonic() - began)
            time.sleep(EVERY_S)
    return found


def figures(seconds: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    return {"n": len(seconds), "p50": round(p50, 1), "p95": round(p95, 1), "worst": round(max(seconds) * 1000, 1)}


if __name__ == "__main__":
    main()
