"""A change of what serves is whole or not at all, is on record, and can be taken back."""

import os
import shutil
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.domain.errors import BadRequestError, BadWeightsError, UnknownModelError
from lib.registry import changes
from lib.registry.audit import AuditLog
from lib.registry.changes import Registry
from lib.registry.models import ModelFolder
from lib.registry.serving import read_serving
from tests.registry.conftest import die_at

DISK = ("write", "fsync", "replace", "rename", "unlink")


def served(registry: Registry) -> str:
    return registry.models.champion("CP").read_bytes().decode()


def noted(registry: Registry, what: str) -> list[dict]:
    return [entry["about"] for entry in registry.audit.entries() if entry["what"] == what]


def test_what_served_before_serves_again_after_a_rollback_and_a_second_one_returns(registry, trained) -> None:
    trained("v1")
    registry.promote("v1", who="gate", reason="better")
    assert registry.rollback("CP", who="ann", reason="worse on one scanner").champion.version.startswith("CP-")
    assert served(registry) == "shipped"
    registry.rollback("CP", who="ann", reason="it was the image")
    assert served(registry) == "v1"
    assert [about["version"] for about in noted(registry, "model.serves")] == [
        "v1",
        registry.models.records("CP")[-1].version,
        "v1",
    ]
    assert registry.audit.verify().problems == ()


def test_nothing_to_go_back_to_is_said(registry: Registry) -> None:
    with pytest.raises(UnknownModelError, match="nothing served sequence 'CP' before"):
        registry.rollback("CP", who="ann", reason="worse")


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_change_without_a_reason_changes_nothing(registry: Registry, trained, reason: str) -> None:
    trained("v1")
    with pytest.raises(BadRequestError, match="the reason is empty"):
        registry.promote("v1", who="ann", reason=reason)
    assert [record.version for record in registry.models.records("CP")] == ["v1"]
    assert served(registry) == "shipped"
    assert noted(registry, "model.promote") == []


def test_a_refused_version_can_go_live_by_hand_and_its_verdict_stays(registry: Registry, trained) -> None:
    trained("v1", promote=False)
    registry.promote("v1", who="ann", reason="the holdout has a wrong label")
    assert served(registry) == "v1"
    assert registry.models.record("v1").verdict == "refuse"
    entry = next(entry for entry in registry.audit.entries() if entry["what"] == "model.promote")
    assert (entry["who"], entry["why"]) == ("ann", "the holdout has a wrong label")


def test_an_unknown_version_and_one_that_serves_already_are_refused(registry: Registry, trained) -> None:
    trained("v1")
    registry.promote("v1", who="gate", reason="better")
    with pytest.raises(BadRequestError, match="'v1' serves already"):
        registry.promote("v1", who="ann", reason="again")
    with pytest.raises(UnknownModelError, match="no model version 'v2'"):
        registry.promote("v2", who="ann", reason="new")


@pytest.mark.parametrize("damage", [b"other", None])
def test_damaged_weights_never_go_live(registry: Registry, trained, damage: bytes | None) -> None:
    trained("v1")
    path = registry.models.weights("CP", "v1")
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(BadWeightsError, match="'v1'"):
        registry.promote("v1", who="ann", reason="new")
    assert served(registry) == "shipped"


def test_a_damaged_champion_is_never_what_a_rollback_returns_to(registry: Registry, trained) -> None:
    for version in ("v1", "v2"):
        trained(version)
        registry.promote(version, who="gate", reason="better")
    registry.models.weights("CP", "v2").write_bytes(b"damaged")
    trained("v3")
    registry.promote("v3", who="gate", reason="better")
    registry.rollback("CP", who="ann", reason="test")
    assert served(registry) == "v1"


def test_old_weights_are_pruned_but_never_the_champion_or_the_one_before(registry: Registry, trained) -> None:
    trained("v0")
    registry.promote("v0", who="gate", reason="better")
    trained("v1")
    registry.promote("v1", who="gate", reason="better")
    for number in range(2, 7):
        trained(f"v{number}", promote=False)
    registry.repair()
    records, weights = registry.models.records("CP"), registry.models.weights
    there = [record.version for record in records if weights("CP", record.version).is_file()]
    assert there == ["v0", "v1", "v6"]
    assert len(records) == 8  # with the shipped one: records stay
    assert {about["version"] for about in noted(registry, "model.pruned")} >= {"v2", "v3", "v4", "v5"}


def test_weights_without_a_record_may_be_in_the_making_and_stay(registry: Registry, trained) -> None:
    trained("v1")
    registry.promote("v1", who="gate", reason="better")
    unfinished = registry.models.weights("CP", "unfinished")
    unfinished.write_bytes(b"half")
    for number in range(2, 7):
        trained(f"v{number}", promote=False)
    registry.repair()
    assert unfinished.is_file()


def test_a_record_that_cannot_be_read_stops_no_rollback(registry: Registry, trained) -> None:
    for version in ("v1", "v2"):
        trained(version)
        registry.promote(version, who="gate", reason="better")
    registry.models.weights("CP", "v2").with_suffix(".json").write_text("{")
    registry.rollback("CP", who="ann", reason="worse")
    assert served(registry) == "v1"


def test_what_an_earlier_release_served_is_taken_over(registry: Registry) -> None:
    folder = registry.models.folder("CP")
    folder.mkdir(parents=True)
    (folder / "champion.safetensors").write_bytes(b"old champion")
    (folder / "previous.safetensors").write_bytes(b"older")
    assert served(registry) == "old champion"
    registry.repair()
    registry.repair()
    assert served(registry) == "old champion"
    assert [record.source for record in registry.models.records("CP")] == ["adopted", "adopted"]
    assert len(noted(registry, "model.adopted")) == 1
    registry.rollback("CP", who="ann", reason="as before")
    assert served(registry) == "older"


def over(models: ModelFolder) -> Registry:
    return Registry(models=models, audit=AuditLog(models.live), keep=3)


def act(registry: Registry, what: str) -> None:
    if what == "promote":
        registry.promote("v2", who="gate", reason="better")
    elif what == "rollback":
        registry.rollback("CP", who="ann", reason="worse")
    else:
        registry.repair()


@pytest.mark.parametrize(("what", "after"), [("promote", "v2"), ("rollback", "shipped"), ("adopt", "v1")])
def test_a_kill_at_any_step_leaves_a_serving_champion(
    models: ModelFolder, trained: Callable, tmp_path: Path, what: str, after: str
) -> None:
    """Kill a process at its first, second ... call that reaches the disk, until it gets through."""
    registry = over(models)
    trained("v0", promote=False)  # too old to be kept
    trained("v1")
    registry.promote("v1", who="gate", reason="better")
    trained("v2")
    if what == "adopt":
        (models.folder("CP") / "champion.safetensors").write_bytes(b"v1")
        (models.folder("CP") / "serving.json").unlink()
    finished, step = False, 0
    while not finished:
        step += 1
        copy = tmp_path / f"live-{step}"
        shutil.copytree(models.live, copy)
        folder = ModelFolder(shipped=models.shipped, live=copy)
        code = _killed_at(step, lambda folder=folder: act(over(folder), what))
        assert code in (0, 9)
        finished = code == 0
        killed = over(folder)
        assert served(killed) in {"v1", after}
        killed.repair()
        assert killed.audit.verify().problems == ()
        serving = read_serving(killed.models.folder("CP"))
        assert serving is not None
        assert noted(killed, "model.serves")[-1]["changed"] == serving.changed
        if served(killed) != after:
            act(killed, what)
        assert served(killed) == after
        assert not finished or step > 10


def _killed_at(step: int, work: Callable[[], None]) -> int:
    """Exit code of a child that ends at its n-th call that reaches the disk: 9, or 0 when it got through."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        die_at(step, *DISK)
        work()
    except BaseException:  # noqa: BLE001 - the child must end here
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def test_several_at_once_leave_one_champion_and_one_chain(registry: Registry, trained, models: ModelFolder) -> None:
    versions = [f"v{number}" for number in range(6)]
    for version in versions:
        trained(version)
    seen: list[str] = []
    done = threading.Event()

    def read() -> None:
        reader = ModelFolder(shipped=models.shipped, live=models.live)
        while not done.is_set():
            seen.append(reader.champion("CP").read_bytes().decode())

    def promote(version: str) -> None:
        Registry(models=models, audit=AuditLog(models.live), keep=10).promote(version, who="gate", reason="better")

    threads = [threading.Thread(target=promote, args=(version,)) for version in versions]
    reader = threading.Thread(target=read)
    reader.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join()
    order = [about["version"] for about in noted(registry, "model.serves")]
    assert sorted(order) == versions
    assert served(registry) == order[-1]
    assert set(seen) <= {"shipped", *versions}
    assert registry.audit.verify().problems == ()


def test_the_person_at_the_command_line_has_a_name() -> None:
    assert changes.person()
