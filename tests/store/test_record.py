"""Every label that counts is on record, and none counts that could not be put there."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from lib.domain.audit import AuditEvent
from lib.domain.errors import BadLabelError, StorageFullError
from lib.imaging.volume import Volume, write_volume
from lib.store.cohort import CohortStore
from tests.conftest import two_kidneys


@pytest.fixture
def said() -> list[AuditEvent]:
    return []


@pytest.fixture
def folder(make_cohort: Callable[..., Path]) -> Path:
    return make_cohort(["P1", "P2"], ["CP"], labelled=["P1_CP"])


@pytest.fixture
def store(folder: Path, said: list[AuditEvent]) -> Iterator[CohortStore]:
    found = CohortStore(folder, record=said.extend)
    yield found
    found.close()


@pytest.fixture
def label(tmp_path: Path) -> Path:
    write_volume(two_kidneys()[1], tmp_path / "label.nii.gz")
    return tmp_path / "label.nii.gz"


def test_labels_that_are_found_accepted_and_removed_are_on_record(
    store: CohortStore, said: list[AuditEvent], label: Path
) -> None:
    store.record_proposal("P2_CP", "segment_cp", "CP-2")
    version = store.save_label("P2_CP", label, info={"author": "r1"})
    store.remove_label("P2_CP")
    assert [(event.what, event.who, event.about["image_id"]) for event in said] == [
        ("label.found", "folder", "P1_CP"),
        ("label.accepted", "r1", "P2_CP"),
        ("label.removed", "client", "P2_CP"),
    ]
    assert said[1].about == {
        "image_id": "P2_CP",
        "tag": "final",
        "number": 1,
        "sha256": version.sha256,
        "model_version": "CP-2",
    }


def test_a_label_that_is_refused_is_not_on_record(store: CohortStore, said: list[AuditEvent], tmp_path: Path) -> None:
    _, label = two_kidneys()
    write_volume(Volume(data=label.data + 40, affine=label.affine), tmp_path / "bad.nii.gz")
    with pytest.raises(BadLabelError):
        store.save_label("P2_CP", tmp_path / "bad.nii.gz")
    assert [event.what for event in said] == ["label.found"]


def test_a_label_that_cannot_be_put_on_record_is_not_kept(folder: Path, label: Path) -> None:
    def full(_: Sequence[AuditEvent]) -> None:
        raise OSError(28, "No space left on device")

    CohortStore(folder).close()
    store = CohortStore(folder, record=full)
    with pytest.raises(StorageFullError):
        store.save_label("P2_CP", label)
    assert store.labelled_ids() == ["P1_CP"]
    assert not list((folder / ".renal" / "labels" / "P2_CP").glob("*"))
    store.close()
