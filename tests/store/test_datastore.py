"""The folder is the truth; a label enters it only if it fits."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lib.domain.errors import (
    BadCohortError,
    BadImageError,
    BadLabelError,
    BadRequestError,
    GeometryError,
    RenalError,
    StorageFullError,
    UnknownImageError,
)
from lib.imaging.volume import Volume, read_label, write_volume
from lib.store.cohort import CohortStore
from lib.store.datastore import CohortDatastore


@pytest.fixture
def store(make_cohort: Callable[..., Path]) -> CohortDatastore:
    return CohortDatastore(CohortStore(make_cohort(["P1", "P2"], ["CP", "NP"], labelled=["P1_CP"])))


@pytest.fixture
def folder(store: CohortDatastore) -> Path:
    return Path(store.get_image_uri("P1_CP")).parent


def submit(store: CohortDatastore, data: np.ndarray, affine: np.ndarray, info: dict | None = None) -> str:
    path = Path(store.get_image_uri("P1_CP")).parent.parent / "submitted.nii.gz"
    write_volume(Volume(data=data, affine=affine), path)
    return store.save_label("P2_CP", str(path), "final", info or {})


@pytest.fixture
def drawn(store: CohortDatastore) -> Volume:
    return read_label(Path(store.get_label_uri("P1_CP", "final")))


def files(folder: Path) -> dict[str, bytes]:
    """What a person sees in the folder, and the versions; not the database's own pages."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("store.sqlite")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_images_come_with_their_row_of_the_table(store: CohortDatastore) -> None:
    assert store.list_images() == ["P1_CP", "P1_NP", "P2_CP", "P2_NP"]
    info = store.get_image_info("P2_NP")
    assert (info["patient_id"], info["sequence"], info["vendor"], info["field_t"]) == ("P2", "NP", "GE", 3.0)


def test_an_image_without_a_row_is_known_by_its_name(store: CohortDatastore, folder: Path) -> None:
    (folder / "X9_DP.nii.gz").write_bytes((folder / "P1_CP.nii.gz").read_bytes())
    assert store.store.records()["X9_DP"].sequence == "DP"
    assert store.get_image_info("X9_DP")["sequence"] == ""


def test_labelled_and_unlabelled_images_are_told_apart(store: CohortDatastore) -> None:
    assert store.get_labeled_images() == ["P1_CP"]
    assert store.get_unlabeled_images() == ["P1_NP", "P2_CP", "P2_NP"]
    assert store.status() == {"total": 4, "completed": 1, "label_tags": {"final": 1}}


def test_a_fitting_label_is_kept_with_what_was_drawn(store: CohortDatastore, drawn: Volume) -> None:
    submit(store, drawn.data, drawn.affine, {"structures": ["kidney", "mass"], "reader": "r7"})
    np.testing.assert_array_equal(read_label(Path(store.get_label_uri("P2_CP", "final"))).data, drawn.data)
    (case,) = [case for case in store.labelled("CP") if case.image_id == "P2_CP"]
    assert case.drawn == {"kidney", "mass"}
    assert store.get_label_info("P2_CP", "final")["reader"] == "r7"


def test_another_process_sees_the_label_at_once(store: CohortDatastore, folder: Path, drawn: Volume) -> None:
    other = CohortDatastore(CohortStore(folder))
    submit(store, drawn.data, drawn.affine)
    assert other.get_labeled_images() == ["P1_CP", "P2_CP"]


def test_no_mass_is_a_label_about_the_mass_alone(store: CohortDatastore, drawn: Volume) -> None:
    submit(store, np.zeros_like(drawn.data), drawn.affine)
    assert store.labelled("CP")[1].drawn == {"mass"}


def test_segments_are_read_by_name_not_by_number(store: CohortDatastore, drawn: Volume) -> None:
    info = {"label_info": [{"name": "mass", "idx": 1}]}
    submit(store, (drawn.data == 2).astype(np.uint8), drawn.affine, info)
    np.testing.assert_array_equal(read_label(Path(store.get_label_uri("P2_CP", "final"))).data == 2, drawn.data == 2)
    assert store.labelled("CP")[1].drawn == {"mass"}


def shifted(affine: np.ndarray) -> np.ndarray:
    moved = affine.copy()
    moved[0, 3] += 2
    return moved


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda data, affine: (data[1:], affine, {}), GeometryError),
        (lambda data, affine: (data, shifted(affine), {}), GeometryError),
        (lambda data, affine: (data * 3, affine, {}), BadLabelError),
        (lambda data, affine: (data.astype(np.float32) * 0.5, affine, {}), BadLabelError),
        (lambda data, affine: (np.stack([data, data], -1), affine, {}), BadImageError),
        (lambda data, affine: (data, affine, {"structures": ["mass"]}), BadLabelError),
        (lambda data, affine: (data, affine, {"structures": ["tumour"]}), RenalError),
        (lambda data, affine: (data, affine, {"structures": "mass"}), BadRequestError),
        (lambda data, affine: (data, affine, {"label_info": [{"name": "liver", "idx": 1}]}), BadLabelError),
        (lambda data, affine: (data, affine, {"label_info": [{"name": "mass", "idx": 999}]}), BadLabelError),
    ],
)
def test_a_label_that_does_not_fit_is_refused_and_nothing_is_written(
    store: CohortDatastore, folder: Path, drawn: Volume, change: Callable[..., tuple], error: type[RenalError]
) -> None:
    before = files(folder)
    with pytest.raises(error):
        submit(store, *change(drawn.data, drawn.affine))
    assert files(folder) == before


@pytest.mark.parametrize(
    "image_id", ["", ".", "..", "../cohort/P1_CP", "P1_CP.nii.gz", "labels/final/P1_CP", "P1_CP\0", "nobody"]
)
def test_an_id_that_is_no_image_is_refused_everywhere(store: CohortDatastore, folder: Path, image_id: str) -> None:
    label = str(folder / "labels" / "final" / "P1_CP.nii.gz")
    for act in (
        lambda: store.get_image_uri(image_id),
        lambda: store.get_image_info(image_id),
        lambda: store.get_label_uri(image_id, "final"),
        lambda: store.save_label(image_id, label, "final", {}),
        lambda: store.update_image_info(image_id, {"a": 1}),
        lambda: store.remove_image(image_id),
    ):
        with pytest.raises(UnknownImageError):
            act()


@pytest.mark.parametrize("tag", ["..", "../x", "a/b", "a b", "."])
def test_a_tag_that_leaves_the_folder_is_refused(store: CohortDatastore, folder: Path, tag: str) -> None:
    with pytest.raises(BadRequestError, match="tag"):
        store.save_label("P1_CP", str(folder / "labels" / "final" / "P1_CP.nii.gz"), tag, {})


def test_an_uploaded_image_becomes_a_case(store: CohortDatastore, folder: Path) -> None:
    store.add_image("P3_CP", str(folder / "P1_CP.nii.gz"), {"note": "new"})
    assert store.get_image_info("P3_CP")["note"] == "new"
    with pytest.raises(BadRequestError, match="exists"):
        store.add_image("P3_CP", str(folder / "P1_CP.nii.gz"), {})
    with pytest.raises(BadCohortError):
        store.add_image("../P3", str(folder / "P1_CP.nii.gz"), {})


def test_a_text_file_does_not_become_a_case(store: CohortDatastore, folder: Path) -> None:
    (folder / "note.txt").write_text("hello")
    with pytest.raises(BadImageError):
        store.add_image("P3_CP", str(folder / "note.txt"), {})
    assert "P3_CP" not in store.list_images()


def test_a_removed_image_leaves_the_cohort_and_is_kept_aside(store: CohortDatastore, folder: Path) -> None:
    label = Path(store.get_label_uri("P1_CP", "final"))
    store.update_label_info("P1_CP", "final", {"checked": True})
    store.remove_image("P1_CP")
    assert store.list_images() == ["P1_NP", "P2_CP", "P2_NP"]
    assert not any("P1_CP." in name for name in files(folder) if not name.startswith(".renal"))
    assert label.is_file()
    assert len(list((folder / ".renal" / "removed").iterdir())) == 1


def test_the_listing_is_json_with_every_image_and_tag(store: CohortDatastore) -> None:
    listing = json.loads(json.dumps(store.json()))
    assert set(listing["objects"]["P1_CP"]["labels"]) == {"final"}
    assert listing["objects"]["P2_CP"]["labels"] == {}


def test_the_listing_keeps_what_clients_stored_however_odd(store: CohortDatastore, drawn: Volume) -> None:
    odd = {"half": "\udc80", "huge": 2**80, "none": None, "reader": "Å"}
    store.update_image_info("P2_CP", odd)
    submit(store, drawn.data, drawn.affine, odd)
    entry = store.json()["objects"]["P2_CP"]
    assert odd.items() <= entry["image"]["info"].items()
    assert odd.items() <= entry["labels"]["final"]["info"].items()


def test_a_proposal_is_given_when_there_is_no_room_to_remember_it(
    store: CohortDatastore, drawn: Volume, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full() -> None:
        raise StorageFullError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(store.store.index, "write", full)
        store.note_proposal("P2_CP", "segment_cp", "CP-1")
        with pytest.raises(StorageFullError):
            submit(store, drawn.data, drawn.affine)
    assert "not recorded: no room" in caplog.text
    assert store.get_labeled_images() == ["P1_CP"]


def test_the_archive_pairs_images_with_labels(store: CohortDatastore) -> None:
    import zipfile

    path = Path(store.get_dataset_archive(None))
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["image/P1_CP.nii.gz", "label/P1_CP.nii.gz"]
    path.unlink()
