"""The loop, for real: info, next sample, proposal, label, training, the new version's proposal."""

import socket
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests
import torch
from monailabel.client import MONAILabelClient

from lib.domain.cohort import read_cohort
from lib.domain.sequences import SEQUENCES
from lib.imaging.volume import read_label, read_volume
from lib.loop.splits import side_of
from lib.nets.networks import Plan, build_network, load_weights, save_weights
from tests.e2e.conftest import Server, running, started_by_stock_command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Exception ignored in.*socket"),  # MONAI Label's client leaves them to the
    pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning"),  # garbage collector
]
POOR = "CP-poor"
DONE = {"DONE", "ERROR", "STOPPED"}


@pytest.fixture(scope="module")
def client(server: Server) -> MONAILabelClient:
    return MONAILabelClient(server.url)


def truth(server: Server, image_id: str) -> Path:
    return server.studies.parent / "truth" / "final" / f"{image_id}.nii.gz"


def wait_for_training(server: Server, until: set[str] = DONE, seconds: float = 180) -> dict:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        task = requests.get(f"{server.url}/train/", timeout=30).json()
        if task["status"] in until:
            return task
        time.sleep(0.5)
    pytest.fail(f"training did not reach {until}: {task}")


def poor_champion(server: Server) -> None:
    """Let a network that finds nothing stand in for an old model, so that any training is no worse."""
    torch.manual_seed(0)
    plan = Plan(code="CP", spacing_mm=(4.5, 4.5, 6.0), patch=(64, 64, 16), channels=(8, 16, 16))
    state = build_network(plan).state_dict()
    state["head.weight"].zero_()
    state["head.bias"].copy_(torch.tensor([2.0, 0, 0, 0]))
    save_weights(server.live / "CP" / "champion.safetensors", state, plan, {"version": POOR})


def test_info_offers_the_auto_task_first_and_every_sequence(client: MONAILabelClient) -> None:
    info = client.info()
    names = [f"segment_{code.lower()}" for code in SEQUENCES]
    assert list(info["models"]) == ["segment_auto", *names]
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


def test_training_publishes_a_version_that_then_proposes(server: Server, client: MONAILabelClient) -> None:
    poor_champion(server)
    labelled = [record for record in read_cohort(server.studies) if record.sequence == "CP"]
    assert {side_of(record.patient_id) for record in labelled} >= {"train", "validation"}
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
    assert stats["decision"]["promote"], stats["decision"]
    assert version == stats["version"] != POOR
    assert load_weights(server.live / "CP" / "previous.safetensors").notes["version"] == POOR


def test_a_stopped_run_leaves_the_champion(server: Server, client: MONAILabelClient) -> None:
    before = (server.live / "CP" / "champion.safetensors").read_bytes()
    client.train_start("segment_cp", {"minutes": 5})
    wait_for_training(server, {"RUNNING"})
    while not any("epoch" in line for line in requests.get(f"{server.url}/train/", timeout=30).json()["details"]):
        time.sleep(0.3)
    client.train_stop()
    assert wait_for_training(server)["status"] == "STOPPED"
    assert (server.live / "CP" / "champion.safetensors").read_bytes() == before
    assert client.infer("segment_cp", "P0000_CP", {})[1]["sequence"]["code"] == "CP"


def test_training_without_labels_says_what_is_missing(server: Server, client: MONAILabelClient) -> None:
    client.train_start("segment_dp", {})
    task = wait_for_training(server)
    assert task["status"] == "ERROR"
    assert any("NotEnoughLabelsError" in line and "labelled images" in line for line in task["details"])


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
