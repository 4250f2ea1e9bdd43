"""Annotators at once on the real server: next case, proposal, label, again and again without a pause.

    python -m benchmarks.load --annotators 8 --minutes 5

Twenty small phantom images under many patients' names. Counted: errors, cases given to two annotators, labels that are
answered for and not there at the end; measured: latencies, and the server's memory over time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests
from requests_toolbelt import MultipartDecoder

from benchmarks.server import running
from lib.domain.cohort import COHORT_TABLE, format_cohort, image_id_of, read_cohort
from lib.domain.sequences import SEQUENCES
from lib.phantom.cohort import SMALL_SIZE, generate_cohort

MADE, SEED = 4, 11
READY_S = 600
EVERY_S, WARM_UP = 2.0, 0.3  # of the memory's samples; share of the time
STEPS = ("next", "infer", "save")


@dataclass(slots=True)
class Seen:
    """What happened, filled by every annotator."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})
    cases: list[str] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    resident_mb: list[float] = field(default_factory=list)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--annotators", type=int, default=8)
    options.add_argument("--minutes", type=float, default=5)
    options.add_argument("--patients", type=int, default=600)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        studies = cohort(Path(folder), given.patients)
        with running(studies) as (url, process, _):
            warm_up(url, studies)
            print(json.dumps(measure(url, process, given.annotators, given.minutes * 60), indent=1))


def cohort(folder: Path, patients: int) -> Path:
    """A few small phantoms under many patients' names, as links to the same files."""
    made, studies = folder / "made", folder / "studies"
    generate_cohort(made, patients=MADE, seed=SEED, size=SMALL_SIZE)
    studies.mkdir()
    rows = []
    for number in range(patients):
        for record in read_cohort(made):
            if int(record.patient_id[1:]) == number % MADE:
                patient = f"Q{number:05d}"
                image_id = image_id_of(patient, record.sequence)
                (studies / f"{image_id}.nii.gz").hardlink_to(made / f"{record.image_id}.nii.gz")
                rows.append(replace(record, image_id=image_id, patient_id=patient))
    (studies / COHORT_TABLE).write_text(format_cohort(rows))
    return studies


def warm_up(url: str, studies: Path) -> None:
    """Wait for the server, however busy the machine is, and let it load every network."""
    for _ in range(READY_S):
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"{url}/readyz", timeout=READY_S).ok:
                break
        time.sleep(1)
    for record in read_cohort(studies)[: len(SEQUENCES)]:
        address = f"{url}/infer/segment_auto?image={record.image_id}&output=json"
        requests.post(address, timeout=READY_S).raise_for_status()


def measure(url: str, process: psutil.Process, annotators: int, seconds: float) -> dict[str, object]:
    """Let annotators work for some time, then look what the server has of it."""
    seen, stop = Seen(), threading.Event()
    with ThreadPoolExecutor(annotators) as pool:
        jobs = [pool.submit(annotate, url, f"annotator-{number}", seen, stop) for number in range(annotators)]
        end = time.monotonic() + seconds
        while time.monotonic() < end and not all(job.done() for job in jobs):
            seen.resident_mb.append(process.memory_info().rss / 1e6)
            time.sleep(EVERY_S)
        stop.set()
        for job in jobs:
            job.result()
    objects = requests.get(f"{url}/datastore/?output=all", timeout=60).json()["objects"]
    there = {image_id for image_id, one in objects.items() if "final" in one["labels"]}
    warm = seen.resident_mb[int(WARM_UP * len(seen.resident_mb)) :]
    first, last = (float(np.median(part)) for part in (warm[: len(warm) // 3], warm[-(len(warm) // 3) :]))
    return {
        "annotators": annotators,
        "seconds": round(seconds),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "labels": len(seen.saved),
        "errors": dict(seen.errors),
        "cases_given_twice": len(seen.cases) - len(set(seen.cases)),
        "labels_lost": len(set(seen.saved) - there),
        "ms": {step: figures(times) for step, times in seen.seconds.items()},
        "resident_mb_after_warm_up": round(first),
        "resident_mb_at_the_end": round(last),
        "growth_percent": round(100 * (last / first - 1), 1),
    }


def annotate(url: str, name: str, seen: Seen, stop: threading.Event) -> None:
    """Ask for the next case, take the proposal as the label, submit it, until it is time."""
    with requests.Session() as http:
        ask = partial(asked, http, seen)
        while not stop.is_set():
            sample = ask("next", "POST", f"{url}/activelearning/coverage", json={"client_id": name})
            if sample is None:
                continue
            image_id = sample.json()["id"]
            seen.cases.append(image_id)
            form = {"params": json.dumps({"result_extension": ".nii.gz"})}
            proposal = ask("infer", "POST", f"{url}/infer/segment_auto?image={image_id}", data=form)
            if proposal is None:
                continue
            parts = MultipartDecoder.from_response(proposal).parts
            files = {"label": ("label.nii.gz", next(part.content for part in parts if part.content[:1] != b"{"))}
            if ask("save", "PUT", f"{url}/datastore/label?image={image_id}", data={"params": "{}"}, files=files):
                seen.saved.append(image_id)


def asked(
    http: requests.Session, seen: Seen, step: str, method: str, address: str, **body: Any
) -> requests.Response | None:
    """One request: its time, or what went wrong."""
    began = time.monotonic()
    try:
        answer = http.request(method, address, timeout=300, **body)
    except requests.RequestException as error:
        seen.errors[f"{step}: {type(error).__name__}"] += 1
        time.sleep(1)
        return None
    seen.seconds[step].append(time.monotonic() - began)
    if not answer.ok:
        seen.errors[f"{step}: {answer.status_code}"] += 1
        return None
    return answer


def figures(seconds: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    return {"n": len(seconds), "p50": round(p50), "p95": round(p95), "worst": round(max(seconds) * 1000)}


if __name__ == "__main__":
    main()
