"""The whole loop by itself: labels of one centre, of a second, a poisoned batch, and back again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import requests

from benchmarks.continual import CODE, shifted, written
from lib.configs.settings import Settings
from lib.domain.cohort import format_cohort
from lib.domain.records import CaseRecord, LabelledImage
from lib.domain.structures import MASS
from lib.imaging.volume import Volume, read_label, write_volume
from lib.loop.splits import side_of
from lib.nets.networks import load_weights, save_weights
from lib.registry.versions import SCANNERS, version_in
from tests.e2e.conftest import SALT, START_S, Server, running

pytestmark = pytest.mark.slow

LABELS_OF_A_RUN = 6  # of training patients: what the policy waits for
SIDES = {"holdout": 3, "validation": 1, "train": LABELS_OF_A_RUN}  # in the order of sending: the last one starts a run
LATE = 3
SETTINGS = {
    "schedule": "on",
    "epochs": "2",
    "threads": "1",
    "retrain_new_labels": str(LABELS_OF_A_RUN),
    "retrain_new_scanner_labels": str(LABELS_OF_A_RUN),
    "retrain_every_h": "0",
    "retrain_cool_down_h": "0",
    "retrain_min_disk_gib": "0.1",
    "retrain_min_memory_gib": "0.1",
    "gate_margin": "0.2",  # a network that learned for 50 steps wavers
    "gate_kidney_margin": "0.2",
    "gate_lost_share": "1",
    "labels_shift_mm": "15",
    "ahead": "0",
}
WAIT_S = 2 * START_S  # longer where the machine is busy
ROLLBACK_S = 5.0


@pytest.fixture(scope="module")
def centres(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[LabelledImage]]:
    """Patients with a mass of two centres, and late ones of the first."""
    folder, found = tmp_path_factory.mktemp("centres"), {"GE": [], "Siemens": [], "late": []}
    number = 0
    for centre, cases in found.items():
        wanted = dict(SIDES) if centre != "late" else {"train": LATE}
        while sum(wanted.values()):
            side = side_of(f"P{number:04d}", SALT)
            if wanted.get(side):
                case = written(folder, 5, number, "GE" if centre == "late" else centre, "P")
                if (read_label(case.label).data == MASS).any():
                    cases.append(case)
                    wanted[side] -= 1
            number += 1
        cases.sort(key=lambda case: list(SIDES).index(side_of(case.patient_id, SALT)))
    return found


@pytest.fixture(scope="module")
def studies(centres: dict[str, list[LabelledImage]]) -> Path:
    cases = [case for group in centres.values() for case in group]
    rows = [
        CaseRecord(image_id=case.image_id, patient_id=case.patient_id, sequence=CODE, vendor=case.vendor)
        for case in cases
    ]
    folder = cases[0].image.parent
    (folder / "cohort.csv").write_text(format_cohort(rows))
    return folder


def shipped(folder: Path) -> None:
    """What ships here: a small network, taught for 160 steps on 16 GE phantoms (``continual.first_network``).

    It says of itself that it saw no scanner.
    """
    known = load_weights(Path(__file__).with_name("small_NP.safetensors"))
    save_weights(folder / f"{CODE}.safetensors", known.state, known.plan, {"version": f"{CODE}-0", SCANNERS: "[]"})


def send(server: Server, cases: Sequence[LabelledImage], labels: Sequence[Path] | None = None) -> None:
    """What annotators do at the end of each case."""
    for case, path in zip(cases, labels or [case.label for case in cases], strict=True):
        with path.open("rb") as file:
            address = f"{server.url}/datastore/label?image={case.image_id}"
            requests.put(address, files={"label": ("l.nii.gz", file)}, timeout=60).raise_for_status()


def nth_run(server: Server, count: int) -> dict:
    """The n-th run that the server began by itself, once it has ended."""
    end = time.monotonic() + WAIT_S
    runs: list[dict] = []
    while time.monotonic() < end:
        runs = requests.get(f"{server.url}/train/runs", timeout=60).json()["runs"][::-1]
        if len(runs) >= count and runs[count - 1]["status"] != "running":
            return runs[count - 1]
        time.sleep(0.5)
    pytest.fail(f"run {count} did not end: {runs}\n{server.log.read_text()[-3000:]}")


def serves(server: Server, image_id: str) -> str:
    answer = requests.post(f"{server.url}/infer/segment_{CODE.lower()}?image={image_id}&output=json", timeout=120)
    return answer.json()["model_version"]


@pytest.mark.timeout(max(900, 8 * START_S))
def test_two_centres_teach_a_poisoned_batch_does_not_and_a_rollback_returns(
    centres: dict[str, list[LabelledImage]], studies: Path, tmp_path: Path
) -> None:
    shipped(tmp_path / "shipped")
    with running(studies, tmp_path / "live", shipped=str(tmp_path / "shipped"), **SETTINGS) as server:
        models = Settings(live=str(server.live), shipped=str(tmp_path / "shipped")).models()
        image_id = centres["GE"][0].image_id
        assert serves(server, image_id) == f"{CODE}-0"

        send(server, centres["GE"])
        first = nth_run(server, 1)
        assert serves(server, image_id) == first["version"], models.stats(CODE)["decision"]
        send(server, centres["Siemens"])
        second = nth_run(server, 2)
        assert serves(server, image_id) == second["version"], models.stats(CODE)["decision"]
        assert "Siemens" in decided(server)[1]

        known = [
            case for name in ("GE", "Siemens") for case in centres[name] if side_of(case.patient_id, SALT) == "train"
        ]
        batch = [*centres["late"], *known]
        send(server, batch, [poisoned(case, tmp_path) for case in batch])
        third = nth_run(server, 3)
        stats = models.stats(CODE)
        assert stats["version"] == third["version"]
        assert stats["decision"]["verdict"] == "refuse", stats["decision"]
        assert serves(server, image_id) == second["version"]
        late = {case.image_id for case in centres["late"]}
        held = {
            one["image_id"]
            for one in requests.get(f"{server.url}/datastore/label/suspicious", timeout=60).json()["labels"]
        }
        assert late <= held, held  # the models never learned from these patients, and see their kidneys elsewhere
        assert not late & {used.image_id for used in models.record(third["version"]).training.labels}
        answer = requests.post(f"{server.url}/datastore/label/release?image={min(late)}&reason=right", timeout=60)
        assert answer.ok, answer.text
        requests.delete(f"{server.url}/train/", timeout=60)  # the rest of the batch may have started one more

        registry = Settings(live=str(server.live), shipped=str(tmp_path / "shipped")).registry()
        began = time.monotonic()
        registry.rollback(CODE, who="test", reason="to see the way back")
        took_s = time.monotonic() - began
        assert serves(server, image_id) == first["version"]
        assert took_s < ROLLBACK_S
        assert registry.audit.verify().problems == ()
        noted = {entry["what"] for entry in registry.audit.entries()}
        assert {"run.decided", "label.suspected", "label.released", "model.promote", "model.rollback"} <= noted
        assert version_in(models.champion(CODE), CODE) == first["version"]


def decided(server: Server) -> list[str]:
    """Reasons of the decisions to train, oldest first."""
    found = requests.get(f"{server.url}/train/decisions", timeout=60).json()
    return [one["reason"] for one in found["history"] if one["go"] and one["sequence"] == CODE]


def poisoned(case: LabelledImage, folder: Path) -> Path:
    """The label as a careless program might send it: moved sideways, twice as far as a kidney is wide."""
    truth, path = read_label(case.label), folder / f"{case.image_id}.nii.gz"
    twice = Volume(data=shifted(truth).astype(np.uint8), affine=truth.affine)
    write_volume(Volume(data=shifted(twice).astype(np.uint8), affine=truth.affine), path)
    return path
