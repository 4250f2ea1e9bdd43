"""An installation in one file: sound while others write, and put back whole or not at all."""

from __future__ import annotations

import json
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.domain.errors import BadBackupError
from lib.imaging.volume import read_label, volume_bytes
from lib.registry.audit import AuditLog
from lib.store.backup import Part, restore_backup, write_backup
from lib.store.cohort import CohortStore

DATABASE = ".renal/store.sqlite"


@pytest.fixture
def parts(make_cohort: Callable[..., Path], tmp_path: Path) -> list[Part]:
    """A cohort with one label, and an audit log."""
    cohort = make_cohort(["P1", "P2"], ["CP"], labelled=["P1_CP"])
    CohortStore(cohort, record=AuditLog(tmp_path / "live").append).close()
    return [Part(name="cohort", folder=cohort, database=DATABASE), Part(name="live", folder=tmp_path / "live")]


def restored(file: Path, to: Path) -> tuple[CohortStore, AuditLog]:
    restore_backup(file, {"cohort": to / "cohort", "live": to / "live"})
    log = AuditLog(to / "live")
    return CohortStore(to / "cohort", record=log.append), log


def test_what_was_kept_is_there_again(parts: list[Part], tmp_path: Path) -> None:
    before = CohortStore(parts[0].folder)
    counts = write_backup(parts, tmp_path / "backup.tar")
    after, log = restored(tmp_path / "backup.tar", tmp_path / "new")
    assert counts["cohort"] > len(before.image_ids())
    assert after.records() == before.records()
    assert after.versions("P1_CP") == [
        type(version)(
            **{name: getattr(version, name) for name in version.__slots__} | {"path": after.label("P1_CP").path}
        )
        for version in before.versions("P1_CP")
    ]
    assert log.verify().problems == ()
    before.close()
    after.close()


def test_a_backup_made_while_labels_arrive_holds_whole_labels_only(parts: list[Part], tmp_path: Path) -> None:
    store = CohortStore(parts[0].folder, record=AuditLog(tmp_path / "live").append)
    label = tmp_path / "label.nii.gz"
    label.write_bytes(volume_bytes(read_label(store.label("P1_CP").path)))
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            store.save_label("P2_CP", label)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            write_backup(parts, tmp_path / f"backup{number}.tar")
    finally:
        done.set()
        writer.join()
    store.close()
    for number in range(5):
        after, log = restored(tmp_path / f"backup{number}.tar", tmp_path / f"new{number}")
        for version in after.versions("P2_CP"):
            assert read_label(version.path).data.any()
        assert log.verify().problems == ()
        after.close()


def test_nothing_is_put_back_over_something(parts: list[Part], tmp_path: Path) -> None:
    write_backup(parts, tmp_path / "backup.tar")
    (tmp_path / "live2").mkdir()
    (tmp_path / "live2" / "mine").write_text("kept")
    with pytest.raises(BadBackupError, match="holds something"):
        restore_backup(tmp_path / "backup.tar", {"cohort": tmp_path / "new", "live": tmp_path / "live2"})
    assert not (tmp_path / "new").exists()


def test_an_earlier_backup_is_never_overwritten(parts: list[Part], tmp_path: Path) -> None:
    write_backup(parts, tmp_path / "backup.tar")
    with pytest.raises(BadBackupError, match="exists already"):
        write_backup(parts, tmp_path / "backup.tar")


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "changed":
        content[content.index(b"image_id,patient_id") + 2] ^= 1
    elif how == "cut":
        del content[len(content) // 2 :]
    else:
        content[:] = b"not an archive"
    file.write_bytes(content)


@pytest.mark.parametrize("how", ["changed", "cut", "another file"])
def test_a_damaged_backup_puts_nothing_back(parts: list[Part], tmp_path: Path, how: str) -> None:
    file = tmp_path / "backup.tar"
    write_backup(parts, file)
    damage(file, how)
    (tmp_path / "to").mkdir()
    with pytest.raises(BadBackupError):
        restore_backup(file, {"cohort": tmp_path / "to" / "new"})
    assert list((tmp_path / "to").iterdir()) == []


def test_a_file_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evil").write_text("x")
    manifest = {"format": 1, "files": {"cohort/../evil": {"sha256": "", "modified_ns": 0}}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with tarfile.open(tmp_path / "backup.tar", "w") as archive:
        archive.add(tmp_path / "evil", "cohort/../evil")
        archive.add(tmp_path / "manifest.json", "manifest.json")
    with pytest.raises(BadBackupError, match="outside"):
        restore_backup(tmp_path / "backup.tar", {"cohort": tmp_path / "new"})
