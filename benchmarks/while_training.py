"""How long a proposal takes while the server trains, against idle before and after, on the real server.

    python -m benchmarks.while_training --requests 30

One phantom image of 256 x 256 x 64 voxels is asked for again and again; small labelled phantoms of the same sequence are
what is trained on. Clock times; the ratio is of one run, on one machine, idle measured on both sides of the training.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import psutil
import requests

from benchmarks.responsive import figures
from benchmarks.server import MATRIX, running
from lib.domain.cohort import format_cohort
from lib.imaging.volume import write_volume
from lib.phantom.cohort import SMALL_SIZE, Size, generate_cohort, make_case

CODE, IMAGE = "NP", "large_NP"
EPOCH_S = 600


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--requests", type=int, default=30)
    options.add_argument("--matrix", type=int, nargs=3, default=MATRIX)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RENAL_LOOP_LIVE"] = f"{folder}/live"
        studies = Path(folder) / "studies"
        rows = generate_cohort(studies, patients=14, seed=77, sequences=[CODE], size=SMALL_SIZE)
        (studies / "cohort.csv").write_text(format_cohort(rows))
        write_volume(
            make_case(5, 0, CODE, vendors=["GE"], size=Size(matrix=tuple(given.matrix))).image,
            studies / f"{IMAGE}.nii.gz",
        )
        with running(studies) as (url, process, _):
            print(json.dumps(measure(url, studies, process, given.requests), indent=1))


def measure(url: str, studies: Path, process: psutil.Process, count: int) -> dict[str, object]:
    """Latencies of proposals before, during and after a training, in milliseconds."""
    waiting = studies / ".renal" / "waiting" / f"{IMAGE}.json"
    proposals(url, waiting, 2)
    before = proposals(url, waiting, count)
    requests.post(f"{url}/train/segment_{CODE.lower()}", json={"minutes": 30}, timeout=60).raise_for_status()
    wait_for_an_epoch(url)
    (training,) = [one for one in process.children() if "train" in one.cmdline()]
    seen = {"niceness": training.nice(), "cores_used": training.cpu_percent(interval=5) / 100}
    during = proposals(url, waiting, count)
    requests.delete(f"{url}/train/", timeout=60).raise_for_status()
    training.wait(60)
    idle, busy = figures([*before, *proposals(url, waiting, count)]), figures(during)
    return {
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "training": seen,
        "infer_idle_ms": idle,
        "infer_in_training_ms": busy,
        "ratio_p50": round(busy["p50"] / idle["p50"], 2),
        "ratio_p95": round(busy["p95"] / idle["p95"], 2),
    }


def proposals(url: str, waiting: Path, count: int) -> list[float]:
    """Seconds of each proposal; what waits on disk is removed, so that each is computed."""
    found = []
    for _ in range(count):
        waiting.unlink(missing_ok=True)
        began = time.monotonic()
        requests.post(f"{url}/infer/segment_np?image={IMAGE}&output=json", timeout=300).raise_for_status()
        found.append(time.monotonic() - began)
    return found


def wait_for_an_epoch(url: str) -> None:
    end = time.monotonic() + EPOCH_S
    while time.monotonic() < end:
        task = requests.get(f"{url}/train/", timeout=60).json()
        if (task.get("run") or {}).get("epochs"):
            return
        if task["status"] not in ("SUBMITTED", "RUNNING"):
            break
        time.sleep(1)
    msg = f"no epoch came: {task}"
    raise RuntimeError(msg)


if __name__ == "__main__":
    main()
