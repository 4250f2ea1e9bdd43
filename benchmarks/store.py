"""The store at scale, and MONAI Label's own LocalDatastore in the same run.

    python -m benchmarks.store --images 10000 --labels 5000

Both open the same folder of tiny images. In process: opening (the first time, and again), saving a label, what a
click on *Next Sample* reads, and the listing. Then our server over HTTP: start against an empty folder, next sample,
listing, saving.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import requests
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.datastore import Datastore

from benchmarks.server import running
from lib.domain.cohort import format_cohort
from lib.domain.records import CaseRecord
from lib.domain.sequences import SEQUENCES
from lib.imaging.volume import Volume, volume_bytes, write_bytes
from lib.store.cohort import CohortStore
from lib.store.datastore import CohortDatastore

SHAPE = (16, 16, 8)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=10_000)
    options.add_argument("--labels", type=int, default=5_000)
    options.add_argument("--repeats", type=int, default=40)
    options.add_argument("--json", type=Path, help="write the figures here")
    given = options.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        ids = fill(Path(folder) / "ours", given.images, given.labels)
        shutil.copytree(Path(folder) / "ours", Path(folder) / "theirs", copy_function=os.link)
        figures = {
            "images": given.images,
            "labels": given.labels,
            "ours": measure(lambda: CohortDatastore(CohortStore(Path(folder) / "ours")), ids, given.repeats),
            "LocalDatastore": measure(lambda: LocalDatastore(str(Path(folder) / "theirs")), ids, given.repeats),
            "server": over_http(Path(folder) / "ours", Path(folder) / "empty", ids, given.repeats),
        }
    print(json.dumps(figures, indent=1))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


def fill(folder: Path, images: int, labels: int) -> list[str]:
    """Write a cohort of tiny images; the first ones are labelled. Returns the ids of the others."""
    rng = np.random.default_rng(0)
    image = volume_bytes(Volume(data=rng.random(SHAPE, dtype=np.float32), affine=np.eye(4)))
    (folder / "labels" / "final").mkdir(parents=True)
    codes, records = list(SEQUENCES), []
    for number in range(images):
        patient, code = f"P{number // len(codes):05d}", codes[number % len(codes)]
        record = CaseRecord(image_id=f"{patient}_{code}", patient_id=patient, sequence=code, vendor="GE", centre="A")
        records.append(record)
        (folder / f"{record.image_id}.nii.gz").write_bytes(image)
        if number < labels:
            (folder / "labels" / "final" / f"{record.image_id}.nii.gz").write_bytes(label(number))
    (folder / "cohort.csv").write_text(format_cohort(records))
    return [record.image_id for record in records[labels:]]


def label(number: int) -> bytes:
    data = np.random.default_rng(number).integers(0, 4, SHAPE, dtype=np.uint8)
    return volume_bytes(Volume(data=data, affine=np.eye(4)))


def measure(open_store: Callable[[], Datastore], ids: list[str], repeats: int) -> dict[str, Any]:
    first_s, _ = timed(open_store)
    again_s, store = timed(open_store)
    saves, samples = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "label.nii.gz"
        for number in range(repeats):
            payload = label(100_000 + number)
            write_s, _ = timed(partial(write_bytes, payload, file))
            save_s, _ = timed(partial(store.save_label, ids[number], str(file), "final", {}))
            saves.append(save_s - write_s)
            samples.append(timed(lambda: next_sample(store))[0])
    listing_s = [timed(store.json)[0] for _ in range(5)]
    return {
        "open_first_s": round(first_s, 2),
        "open_again_s": round(again_s, 2),
        "save_beyond_write_ms": spread(saves),
        "next_sample_ms": spread(samples),
        "listing_ms": spread(listing_s),
    }


def next_sample(store: Datastore) -> dict[str, Any]:
    """What a strategy reads: who has no label, and all about the chosen one."""
    info: dict[str, Any] = store.get_image_info(store.get_unlabeled_images()[0])
    return info


def over_http(full: Path, empty: Path, ids: list[str], repeats: int) -> dict[str, Any]:
    empty.mkdir()
    starts: dict[str, list[float]] = {"empty": [], "full": []}
    for name, studies in (("empty", empty), ("full", full)) * 2:
        with running(studies) as (_, _, ready_s):
            starts[name].append(ready_s)
    with running(full) as (url, _, ready_s):
        starts["full"].append(ready_s)
        listing = [timed(lambda: requests.get(f"{url}/datastore/?output=all", timeout=60))[0] for _ in range(5)]
        samples = [
            timed(lambda: requests.post(f"{url}/activelearning/coverage", timeout=60).raise_for_status())[0]
            for _ in range(repeats)
        ]

        def save(number: int) -> None:
            put(url, ids[-1 - number], label(number)).raise_for_status()

        saves = [timed(partial(save, number))[0] for number in range(repeats)]
    return {
        "start_beyond_empty_s": round(min(starts["full"]) - min(starts["empty"]), 2),
        "next_sample_ms": spread(samples),
        "listing_ms": spread(listing),
        "save_ms": spread(saves),
    }


def put(url: str, image_id: str, payload: bytes) -> requests.Response:
    address = f"{url}/datastore/label?image={image_id}"
    return requests.put(address, files={"label": ("l.nii.gz", payload)}, timeout=60)


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = act()
    return time.perf_counter() - began, result


def spread(seconds: list[float]) -> dict[str, float]:
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}


if __name__ == "__main__":
    main()
