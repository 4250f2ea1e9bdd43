"""The loop, for real: info, next sample, proposal, label, training, the new version's proposal."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pytest
import requests
import torch
from monailabel.client import MONAILabelClient

from lib.configs.settings import Settings
from lib.domain.cohort import read_cohort
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import KIDNEY, MASS
from lib.imaging.volume import read_label, read_volume
from lib.loop.splits import side_of
from lib.nets.networks import Plan, build_network, load_weights, save_weights
from lib.registry.serving import read_serving
from lib.registry.versions import SCANNERS
from tests.e2e.conftest import SALT, Server, running, started_by_stock_command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Exception ignored in.*socket"),  # MONAI Label's client leaves them to the
    pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning"),  # garbage collector
]
POOR = "CP-poor"
ROLLBACK_S = 5.0
DONE = {"DONE", "ERROR", "STOPPED"}


@pytest.fixture(scope="module")
def client(server: Server) -> MONAILabelClient:
    return MONAILabelClient(server.url)


def truth(server: Server, image_id: str) -> Path:
    return server.studies.parent / "truth" / "final" / f"{image_id}.nii.gz"


def wait_for_training(server: Server, until: set[str] = DONE, seconds: float = 180) -> dict:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = requests.get(f"{server.url}/train/", timeout=30)
        task = answer.json() if answer.ok else {"status": "none yet"}
        if task["status"] in until:
            return task
        time.sleep(0.5)
    pytest.fail(f"training did not reach {until}: {task}")


def poor_champion(live: Path) -> None:
    """Let a network that finds nothing and saw no scanner stand in for an old model: any training covers more."""
    torch.manual_seed(0)
    plan = Plan(code="CP", spacing_mm=(4.5, 4.5, 6.0), patch=(64, 64, 16), channels=(8, 16, 16))
    state = build_network(plan).state_dict()
    state["head.weight"].zero_()
    state["head.bias"].copy_(torch.tensor([2.0, 0, 0, 0]))
    save_weights(live / "CP" / "champion.safetensors", state, plan, {"version": POOR, SCANNERS: "[]"})


def test_info_offers_the_auto_task_first_and_every_sequence(client: MONAILabelClient) -> None:
    info = client.info()
    names = [f"segment_{code.lower()}" for code in SEQUENCES]
    assert list(info["models"]) == ["segment_auto", *names, "refine_clicks"]
    assert info["models"]["refine_clicks"]["type"] == "deepedit"
    assert list(info["trainers"]) == names
    assert info["labels"] == ["kidney", "mass", "cyst"]
    assert info["datastore"]["total"] == 14 * len(SEQUENCES)


def test_a_reader_gets_a_case_a_proposal_and_keeps_the_label(server: Server, client: MONAILabelClient) -> None:
    image_id = client.next_sample("random", {})["id"]
    path, reply = client.infer("segment_auto", image_id, {})
    image, proposal = read_volume(server.studies / f"{image_id}.nii.gz"), read_label(Path(path))
    assert proposal.shape == image.shape
    np.testing.assert_allclose(proposal.affine, image.affine, atol=1e-4)
    assert reply["sequence"]["code"] == image_id.rpartition("_")[2]
    assert reply["sequence"]["source"] == "metadata"
    assert client.save_label(image_id, str(truth(server, image_id)), params={"reader": "r1"})["label"] == image_id
    saved = client.download_label(image_id, "final")
    np.testing.assert_array_equal(read_label(Path(saved)).data, read_label(truth(server, image_id)).data)
    assert client.datastore()["objects"][image_id]["labels"]["final"]["info"]["reader"] == "r1"


def test_a_reader_corrects_a_proposal_with_clicks(server: Server, client: MONAILabelClient) -> None:
    seen = {image.partition("_")[0] for image, one in client.datastore()["objects"].items() if "final" in one["labels"]}
    image_id = next(f"{patient}_NP" for patient in ("P0001", "P0002") if patient not in seen)  # no label to start from
    proposal = read_label(Path(client.infer("segment_auto", image_id, {})[0])).data
    wanted, unwanted = ([int(at) for at in np.argwhere(proposal == value)[0]] for value in (0, KIDNEY))
    asked = {"mass": [wanted], "kidney": {"background": [unwanted]}, "cyst": [], "label": "mass"}
    path, reply = client.infer("refine_clicks", image_id, asked)
    corrected = read_label(Path(path)).data
    assert (reply["started_from"], reply["label_names"]["mass"]) == ("proposal", MASS)
    assert corrected[tuple(wanted)] == MASS
    assert corrected[tuple(unwanted)] != KIDNEY
    assert reply["changed_voxels"] == np.count_nonzero(corrected != proposal)
    for clicks, said in (({"mass": [[9999, 0, 0]]}, "outside of the image"), ({"liver": [[0, 0, 0]]}, "'liver'")):
        refused = requests.post(
            f"{server.url}/infer/refine_clicks?image={image_id}", data={"params": json.dumps(clicks)}, timeout=60
        )
        assert refused.status_code == 400
        assert said in refused.json()["detail"]


def test_training_publishes_a_version_that_then_proposes(server: Server, client: MONAILabelClient) -> None:
    poor_champion(server.live)
    labelled = [record for record in read_cohort(server.studies) if record.sequence == "CP"]
    assert {side_of(record.patient_id, SALT) for record in labelled} == {"train", "validation", "holdout"}
    for record in labelled:
        client.save_label(record.image_id, str(truth(server, record.image_id)))
    assert client.infer("segment_cp", labelled[0].image_id, {})[1]["model_version"] == POOR

    client.train_start("segment_cp", {"max_epochs": 12, "steps_per_epoch": 10})
    shown: set[str] = set()
    while (task := requests.get(f"{server.url}/train/", timeout=30).json())["status"] not in DONE:
        shown |= {line for line in task.get("details", []) if "epoch" in line}
        time.sleep(0.3)
    assert task["status"] == "DONE", task["details"]
    lines = shown | {line for line in task["details"] if "epoch" in line}
    assert any(all(word in line for word in ("loss", "validation Dice kidney", "ETA")) for line in lines), task

    version = client.infer("segment_cp", labelled[0].image_id, {})[1]["model_version"]
    stats = client.info()["train_stats"]["segment_cp"]
    assert stats["decision"]["verdict"] == "promote", stats["decision"]
    assert version == stats["version"] != POOR
    models = Settings(live=str(server.live)).models()
    assert load_weights(models.champion("CP")).notes["version"] == version
    assert read_serving(models.folder("CP")).previous.version == POOR


def test_a_server_retrains_by_itself_when_enough_labels_came(server: Server, tmp_path: Path) -> None:
    poor_champion(tmp_path / "live")
    rule = {"schedule": "on", "minutes": "0.2", "retrain_new_labels": "5", "retrain_every_h": "0"}
    small = {"retrain_min_disk_gib": "0.1", "retrain_min_memory_gib": "0.1"}
    with running(server.studies, tmp_path / "live", **rule, **small) as other:
        task = wait_for_training(other)
    assert task["status"] == "DONE", task["details"]
    entries = list(Settings(live=str(tmp_path / "live")).audit().entries())
    decided, *rest = [entry for entry in entries if entry["what"] == "run.decided"]
    assert (decided["who"], decided["about"]["code"], rest) == ("policy", "CP", [])
    assert "new labels since the last run" in decided["why"]
    assert "run.finished" in {entry["what"] for entry in entries}


def test_a_rollback_drops_no_request(server: Server, client: MONAILabelClient) -> None:
    registry = Settings(live=str(server.live)).registry()
    seen: list[str] = []
    stop = threading.Event()

    def version() -> str:
        return client.infer("segment_cp", "P0000_CP", {})[1]["model_version"]

    def ask() -> None:
        while not stop.is_set():
            seen.append(version())

    before = version()
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        started = time.monotonic()
        registry.rollback("CP", who="test", reason="while requests go on")
        took_s = time.monotonic() - started
        assert version() == POOR
        registry.rollback("CP", who="test", reason="and back")
        assert version() == before
    finally:
        stop.set()
        asking.join()
    assert set(seen) <= {before, POOR}  # a request that failed would have ended the thread with an error
    assert took_s < ROLLBACK_S
    assert registry.audit.verify().problems == ()
    assert {"label.accepted", "run.finished", "model.serves"} <= {entry["what"] for entry in registry.audit.entries()}


def test_a_stopped_run_leaves_the_champion(server: Server, client: MONAILabelClient) -> None:
    champion = Settings(live=str(server.live)).models().champion("CP")
    before = champion.read_bytes()
    client.train_start("segment_cp", {"minutes": 5})
    wait_for_training(server, {"RUNNING"})
    while not any("epoch" in line for line in requests.get(f"{server.url}/train/", timeout=30).json()["details"]):
        time.sleep(0.3)
    client.train_stop()
    assert wait_for_training(server)["status"] == "STOPPED"
    assert ended_run(server)["status"] == "stopped"
    assert Settings(live=str(server.live)).models().champion("CP") == champion
    assert champion.read_bytes() == before
    assert client.infer("segment_cp", "P0000_CP", {})[1]["sequence"]["code"] == "CP"


def test_a_killed_run_leaves_the_champion_and_is_marked_failed_with_its_last_words(
    server: Server, client: MONAILabelClient
) -> None:
    champion = Settings(live=str(server.live)).models().champion("CP")
    client.train_start("segment_cp", {"minutes": 5})
    wait_for_an_epoch(server)
    (training,) = [one for one in psutil.Process(server.process.pid).children() if "train" in one.cmdline()]
    assert training.nice() > psutil.Process(server.process.pid).nice()
    training.kill()
    run = ended_run(server)
    assert (run["status"], run["epochs"][0]["epoch"]) == ("failed", 1)
    assert "killed, out of memory" in run["why"]
    assert any("validation Dice" in line for line in run["last_lines"])
    assert Settings(live=str(server.live)).models().champion("CP") == champion
    assert client.infer("segment_cp", "P0000_CP", {})[1]["model_version"] == load_weights(champion).notes["version"]
    failed = [entry for entry in Settings(live=str(server.live)).audit().entries() if entry["what"] == "run.failed"]
    assert failed[-1]["about"]["version"] == run["version"]


def wait_for_an_epoch(server: Server, seconds: float = 240) -> None:
    """Until the run that was started has noted one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        run = requests.get(f"{server.url}/train/", timeout=30).json().get("run") or {}
        if run.get("status") == "running" and run["epochs"]:
            return
        time.sleep(0.3)
    pytest.fail(f"no epoch was noted: {run}")


def ended_run(server: Server, seconds: float = 60) -> dict:
    """The newest run, once it has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        newest = requests.get(f"{server.url}/train/runs", timeout=30).json()["runs"][0]
        if newest["status"] != "running":
            return newest
        time.sleep(0.5)
    pytest.fail(f"the run did not end: {newest}")


def test_training_without_labels_says_what_is_missing_and_shows_no_traceback(
    server: Server, client: MONAILabelClient
) -> None:
    before = Settings(live=str(server.live)).models().champion("DP")
    client.train_start("segment_dp", {})
    task = wait_for_training(server)
    assert task["status"] == "ERROR"
    assert any("NotEnoughLabelsError" in line and "labelled images" in line for line in task["details"])
    assert not any("Traceback" in line for line in task["details"])
    assert (task["run"]["code"], task["run"]["status"]) == ("DP", "failed")
    assert Settings(live=str(server.live)).models().champion("DP") == before


def test_the_stock_command_starts_and_proposes(phantoms: Path, tmp_path: Path) -> None:
    with running(phantoms, tmp_path / "live", started_by_stock_command) as server:
        path, reply = MONAILabelClient(server.url).infer("segment_auto", "P0001_T2WI", {})
        assert reply["sequence"]["code"] == "T2WI"
        assert nib.load(path).shape == nib.load(phantoms / "P0001_T2WI.nii.gz").shape
        outside = server.url.replace("127.0.0.1", outward_address())
        assert requests.get(f"{outside}/healthz", timeout=30).ok
        refused = requests.get(f"{outside}/info/", timeout=30)
        assert refused.status_code == 403
        assert "users add" in refused.json()["detail"]


def outward_address() -> str:
    """An address of this machine that other machines may use; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))
        except OSError:
            pytest.skip("this machine is on no network")
        return probe.getsockname()[0]


def test_slicers_day_next_infer_save_reopen_skip(server: Server) -> None:
    """What 3D Slicer's plugin asks for, in its order."""
    client = MONAILabelClient(server.url, client_id="slicer")
    first = client.next_sample("hybrid", {})
    assert set(first) >= {"id", "path", "name", "reason", "proposal"}
    image_id, patient = first["id"], first["patient_id"]
    path, reply = client.infer("segment_auto", image_id, {})
    assert read_label(Path(path)).shape == read_volume(server.studies / f"{image_id}.nii.gz").shape
    assert reply["sequence"]["code"] == first["id"].rpartition("_")[2]
    names = [{"name": name, "idx": value} for value, name in enumerate(("kidney", "mass", "cyst"), start=1)]
    client.save_label(image_id, str(truth(server, image_id)), params={"label_info": names})
    second = client.next_sample("hybrid", {})
    assert (second["patient_id"], second["reason"]) == (patient, "another sequence of the patient who is open")
    third = client.next_sample("hybrid", {"skip": second["id"], "reason": "motion artefacts"})
    assert third["id"] not in {image_id, second["id"]}
    again = client.next_sample("hybrid", {"image": image_id})
    assert again["id"] == image_id
    assert "it has a label" in again["reason"]
    client.save_label(image_id, str(truth(server, image_id)))
    assert (
        requests.get(f"{server.url}/datastore/label/info?label={image_id}&tag=final", timeout=30).json()["version"] == 2
    )


def test_eight_readers_at_once_never_get_the_same_case(server: Server) -> None:
    def ask(reader: int) -> str:
        answer = requests.post(
            f"{server.url}/activelearning/hybrid", json={"client_id": f"reader {reader}"}, timeout=60
        )
        answer.raise_for_status()
        return answer.json()["id"]

    with ThreadPoolExecutor(8) as pool:
        given = [*pool.map(ask, range(8)), *pool.map(ask, range(8))]
    assert len(set(given)) == 16


def test_a_label_on_one_sequence_is_offered_on_the_patients_others_and_never_final_by_itself(server: Server) -> None:
    sizes = {row.patient_id: float(row.clinical["size_mm"] or 0) for row in read_cohort(server.studies)}
    patient = max(sizes, key=sizes.__getitem__)
    client = MONAILabelClient(server.url)
    client.save_label(f"{patient}_NP", str(truth(server, f"{patient}_NP")))
    path, reply = client.infer("segment_auto", f"{patient}_DP", {})
    assert reply["propagated_from"].startswith(f"{patient}_"), reply.get("not_propagated")
    assert 0.5 <= reply["expected_dice"] <= 1
    carried, drawn = read_label(Path(path)).data, read_label(truth(server, f"{patient}_DP")).data
    plain, alone = client.infer("segment_auto", f"{patient}_DP", {"propagate": False})
    assert "propagated_from" not in alone
    assert np.count_nonzero(carried != drawn) < np.count_nonzero(read_label(Path(plain)).data != drawn)
    assert "propagated_from" not in client.infer("segment_dp", f"{patient}_DP", {})[1]
    label = requests.head(f"{server.url}/datastore/label?image={patient}_DP&tag=final", timeout=30)
    assert label.status_code == 404
