"""A click on *Next Sample* at scale, in the processor's time: a busy machine changes it little.

    python -m benchmarks.next_sample --studies 10000 --labels 5000

Studies of five tiny images; every image has scores. One reader after the other asks, and submits a label after every
fourth answer. Reported are the clicks (with the lease, without HTTP), and what runs in the background meanwhile:
ranking anew after labels or scores changed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.store import SHAPE, label, spread
from lib.activelearning.orders import ORDERS
from lib.activelearning.strategy import NextCase, Queues
from lib.domain.cohort import format_cohort
from lib.domain.records import CaseRecord
from lib.domain.sequences import SEQUENCES
from lib.imaging.volume import Volume, volume_bytes
from lib.store.cohort import CohortStore
from lib.store.datastore import CohortDatastore
from lib.store.scores import ImageScores, write_scores
from lib.store.worklist import WorkList

SCANNERS = (("GE", "SIGNA Premier", "A"), ("Siemens", "MAGNETOM Vida", "B"), ("Philips", "Ingenia", "C"))
READERS, CLICKS = 8, 60
T = TypeVar("T")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--studies", type=int, default=10_000)
    options.add_argument("--labels", type=int, default=5_000)
    given = options.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        records = fill(Path(folder), given.studies, given.labels)
        store = CohortStore(Path(folder))
        write_scores(store, [scores(record.image_id, number) for number, record in enumerate(records)])
        print(json.dumps({"images": len(records), **measure(CohortDatastore(store))}, indent=1))
        store.close()


def fill(folder: Path, studies: int, labels: int) -> list[CaseRecord]:
    """Hard links to one image, and labels on the first ones."""
    (folder / "labels" / "final").mkdir(parents=True)
    image = folder / ".image.nii.gz"
    image.write_bytes(volume_bytes(Volume(data=np.zeros(SHAPE, np.float32), affine=np.eye(4))))
    records: list[CaseRecord] = []
    for number in range(studies):
        vendor, model, centre = SCANNERS[number % len(SCANNERS)]
        for code in SEQUENCES:
            record = CaseRecord(
                image_id=f"P{number:05d}_{code}",
                patient_id=f"P{number:05d}",
                sequence=code,
                centre=centre,
                vendor=vendor,
                scanner_model=model,
                clinical={"size_mm": str(8 + number % 40)},
            )
            os.link(image, folder / f"{record.image_id}.nii.gz")
            if len(records) < labels:
                (folder / "labels" / "final" / f"{record.image_id}.nii.gz").write_bytes(label(0))
            records.append(record)
    (folder / "cohort.csv").write_text(format_cohort(records))
    return records


def scores(image_id: str, number: int) -> ImageScores:
    mass, kidney, apart = np.random.default_rng(number).random(3).tolist()
    return ImageScores(
        image_id=image_id,
        made_from="v1",
        model_version="v1",
        uncertainty={"mass": mass, "kidney": kidney},
        disagreement={"mass": apart, "kidney": 0.0},
    )


def measure(datastore: CohortDatastore) -> dict[str, dict[str, dict[str, float]]]:
    work, file = WorkList(datastore.store), datastore.store.folder.own / "label.nii.gz"
    file.write_bytes(label(1))
    found: dict[str, dict[str, dict[str, float]]] = {"click_cpu_ms": {}, "background_ranking_cpu_ms": {}}
    for name, spec in ORDERS.items():
        queues, clicks, rankings = Queues(), [], []
        click = NextCase(spec, queues)
        queues.ranked(spec, work)
        for number in range(CLICKS):
            seconds, given = cpu(partial(click, {"client_id": f"{name} {number % READERS}"}, datastore))
            clicks.append(seconds)
            assert given is not None
            if number % 4 == 0:
                datastore.store.save_label(given["id"], file)
                work.release(given["id"])
            if number % 20 == 0:
                rankings.append(cpu(partial(queues.ranked, spec, work))[0])
        found["click_cpu_ms"][name] = spread(clicks)
        found["background_ranking_cpu_ms"][name] = spread(rankings)
    return found


def cpu(act: Callable[[], T]) -> tuple[float, T]:
    began = time.process_time()
    result = act()
    return time.process_time() - began, result


if __name__ == "__main__":
    main()
