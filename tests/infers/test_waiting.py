"""A proposal waits for its reader only as long as it is the one that would be made now."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lib.imaging.volume import Volume, read_label, read_volume, write_volume
from lib.infers.propose import Proposer
from lib.infers.sequence import SequenceInfer
from lib.infers.waiting import WaitingRoom
from lib.nets.networks import Plan, build_network, save_weights
from lib.registry.models import ModelFolder

LABEL = Volume(data=np.ones((3, 4, 5), np.uint8), affine=np.eye(4))


@pytest.fixture
def room(tmp_path: Path) -> WaitingRoom:
    return WaitingRoom(tmp_path / "waiting", most=3)


def test_a_proposal_is_found_under_its_key_only(room: WaitingRoom) -> None:
    assert room.find("P1_CP", "one") is None
    room.keep("P1_CP", "one", LABEL, {"masses": []})
    found = room.find("P1_CP", "one")
    assert found is not None
    assert found.reply == {"masses": []}
    assert np.array_equal(read_label(found.label).data, LABEL.data)
    assert room.find("P1_CP", "two") is None
    assert room.find("P2_CP", "one") is None


def test_a_damaged_pair_is_not_found(room: WaitingRoom) -> None:
    room.keep("P1_CP", "one", LABEL, {})
    found = room.find("P1_CP", "one")
    assert found is not None
    found.label.write_bytes(found.label.read_bytes()[:-4])
    assert room.find("P1_CP", "one") is None


def test_the_oldest_proposals_go(room: WaitingRoom, tmp_path: Path) -> None:
    for number in range(5):
        room.keep(f"P{number}_CP", "one", LABEL, {})
        os.utime(tmp_path / "waiting" / f"P{number}_CP.json", (number, number))
    kept = sorted(path.name for path in (tmp_path / "waiting").iterdir())
    assert kept == sorted(f"P{number}_CP{suffix}" for number in (2, 3, 4) for suffix in (".json", ".nii.gz"))


class Server:
    """A task over one image of a datastore, which counts what it computes."""

    def __init__(self, tmp_path: Path, image: Path) -> None:
        self.models = ModelFolder(shipped=tmp_path / "shipped", live=tmp_path / "live")
        self.image, self.computed = image, 0
        self.write("v1")
        self.proposer = Proposer(self.models, "cpu")
        self.task = SequenceInfer(self.proposer, None, WaitingRoom(tmp_path / "waiting"))
        compute = self.proposer.propose

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.computed += 1
            return compute(*args, **kwargs)

        self.proposer.propose = counted  # type: ignore[method-assign]

    def write(self, version: str) -> None:
        torch.manual_seed(0)
        plan = Plan(code="CP", spacing_mm=(3.0, 3.0, 6.0), channels=(8, 16, 16))
        save_weights(
            self.models.shipped / "CP.safetensors", build_network(plan).state_dict(), plan, {"version": version}
        )

    def ask(self, **request: str) -> tuple[np.ndarray, dict[str, Any]]:
        file, reply = self.task({"image": str(self.image), "image_info": {"sequence": "CP"}, **request})
        label = read_label(Path(file)).data
        Path(file).unlink()
        return label, reply


@pytest.fixture
def server(make_cohort: Callable[..., Path], tmp_path: Path) -> Server:
    return Server(tmp_path, make_cohort(["P1"], ["CP"]) / "P1_CP.nii.gz")


def test_the_second_reader_gets_the_same_without_computing(server: Server) -> None:
    label, first = server.ask()
    again, second = server.ask()
    assert server.computed == 1
    assert (first.pop("prepared"), second.pop("prepared")) == (False, True)
    assert np.array_equal(label, again)
    assert json.loads(json.dumps(first)) == second


def test_another_model_or_another_image_file_makes_a_new_proposal(server: Server) -> None:
    server.ask()
    server.write("v2")
    assert server.ask()[1]["model_version"] == "v2"
    image = read_volume(server.image)
    write_volume(Volume(data=image.data + 1, affine=image.affine), server.image)
    assert server.ask()[1]["prepared"] is False
    assert server.computed == 3


def test_a_full_disk_keeps_no_reader_waiting(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WaitingRoom, "keep", full)
    assert server.ask()[1]["model_version"] == "v1"


def test_an_uploaded_image_does_not_wait(server: Server, tmp_path: Path) -> None:
    file, reply = server.task({"image": str(server.image), "sequence": "CP"})
    Path(file).unlink()
    assert "prepared" not in reply
    assert not (tmp_path / "waiting").exists()


def test_what_was_prepared_is_computed_once_and_then_given(server: Server) -> None:
    for _ in range(2):
        server.task.prepare(server.image, {"sequence": "CP"})
    assert server.ask()[1]["prepared"] is True
    assert server.computed == 1
