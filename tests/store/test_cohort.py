"""Every version of every label is kept; what lies in the folder and what the index says agree."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.domain.cohort import read_cohort
from lib.domain.errors import BadCohortError, BadLabelError, BadRequestError, GeometryError, UnknownImageError
from lib.imaging.volume import Grid, Volume, read_label, write_volume
from lib.store.cohort import CohortStore
from lib.store.labels import checked_label
from tests.conftest import two_kidneys


@pytest.fixture
def folder(make_cohort: Callable[..., Path]) -> Path:
    return make_cohort(["P1", "P2"], ["CP", "NP"], labelled=["P1_CP"])


@pytest.fixture
def store(folder: Path, database: str) -> Iterator[CohortStore]:
    found = CohortStore(folder, database)
    yield found
    found.close()


def label_file(folder: Path, voxels: int = 5) -> Path:
    """A label that differs with the number of mass voxels."""
    _, label = two_kidneys()
    data = label.data.copy()
    data[:voxels, 0, 0] = 2
    path = folder.parent / f"submitted-{voxels}.nii.gz"
    write_volume(Volume(data=data, affine=label.affine), path)
    return path


def content(path: Path) -> np.ndarray:
    return read_label(path).data


def test_a_second_label_is_a_second_version(store: CohortStore, folder: Path) -> None:
    first = store.save_label("P2_CP", label_file(folder, 5), info={"author": "r1", "minutes": 4.5})
    second = store.save_label("P2_CP", label_file(folder, 9), info={"author": "r2"})
    versions = store.versions("P2_CP", "final")
    assert [(v.number, v.author, v.minutes, v.final) for v in versions] == [
        (1, "r1", 4.5, False),
        (2, "r2", None, True),
    ]
    np.testing.assert_array_equal(content(versions[0].path), content(label_file(folder, 5)))
    np.testing.assert_array_equal(content(folder / "labels/final/P2_CP.nii.gz"), content(label_file(folder, 9)))
    assert store.label("P2_CP").sha256 == second.sha256 != first.sha256


def test_a_label_says_which_proposal_it_came_from(store: CohortStore, folder: Path) -> None:
    store.record_proposal("P2_CP", "segment_cp", "CP-7")
    assert store.save_label("P2_CP", label_file(folder)).model_version == "CP-7"
    assert store.save_label("P2_CP", label_file(folder), info={"model_version": "CP-3"}).model_version == "CP-3"
    assert store.save_label("P1_NP", label_file(folder)).model_version == ""


def test_a_removed_label_no_longer_counts_and_is_kept(store: CohortStore) -> None:
    kept = store.label("P1_CP").path
    store.remove_label("P1_CP")
    assert store.labelled_ids() == []
    assert kept.is_file()
    assert [version.final for version in store.versions("P1_CP")] == [False]
    with pytest.raises(UnknownImageError):
        store.label("P1_CP")


def test_a_label_that_somebody_copied_into_the_folder_is_the_next_version(
    store: CohortStore, folder: Path, database: str
) -> None:
    (folder / "labels/final/P1_CP.nii.gz").write_bytes(label_file(folder, 7).read_bytes())
    (folder / "labels/final/P2_NP.nii.gz").write_bytes(label_file(folder, 8).read_bytes())
    assert store.labelled_ids() == ["P1_CP", "P2_NP"]
    reopened = CohortStore(folder, database)
    assert [version.number for version in reopened.versions("P1_CP")] == [1, 2]
    np.testing.assert_array_equal(content(reopened.label("P1_CP").path), content(label_file(folder, 7)))
    reopened.close()


def test_what_a_crash_leaves_half_shown_is_shown_again(store: CohortStore, folder: Path, database: str) -> None:
    shown = folder / "labels/final/P2_CP.nii.gz"
    first = store.save_label("P2_CP", label_file(folder, 5))
    second = store.save_label("P2_CP", label_file(folder, 9))
    for leave in (lambda: shown.unlink(), lambda: shown.write_bytes(first.path.read_bytes())):
        leave()
        again = CohortStore(folder, database)
        assert again.label("P2_CP").sha256 == second.sha256
        assert shown.read_bytes() == second.path.read_bytes()
        assert len(again.versions("P2_CP")) == 2
        again.close()


def test_an_edited_table_is_seen(store: CohortStore, folder: Path) -> None:
    assert store.records()["P2_NP"].vendor == "GE"
    table = folder / "cohort.csv"
    table.write_text(table.read_text().replace("P2_NP,P2,NP,A,GE", "P2_NP,P2,DP,B,Philips"))
    record = store.records()["P2_NP"]
    assert (record.sequence, record.centre, record.vendor) == ("DP", "B", "Philips")
    assert record == next(row for row in read_cohort(folder) if row.image_id == "P2_NP")


def test_an_image_that_went_away_takes_its_label_out_of_sight_only(store: CohortStore, folder: Path) -> None:
    away = folder / "P1_CP.nii.gz"
    payload = away.read_bytes()
    away.unlink()
    assert store.image_ids() == ["P1_NP", "P2_CP", "P2_NP"]
    assert store.labelled("CP") == []
    away.write_bytes(payload)
    assert [case.image_id for case in store.labelled("CP")] == ["P1_CP"]


def test_labels_found_in_the_folder_are_checked_before_training(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, label = two_kidneys()
    other_grid = Volume(data=label.data[1:], affine=label.affine)
    write_volume(other_grid, folder / "labels/final/P2_CP.nii.gz")
    store = CohortStore(folder)
    assert [case.image_id for case in store.labelled("CP")] == ["P1_CP"]
    assert "GeometryError" in caplog.text
    assert "P2_CP" not in caplog.text
    store.close()


def test_a_found_label_with_other_numbers_is_renumbered_as_a_new_version(folder: Path) -> None:
    _, label = two_kidneys()
    write_volume(
        Volume(data=(label.data == 2).astype(np.uint8), affine=label.affine), folder / "labels/final/P2_CP.nii.gz"
    )
    (folder / "labels/final/P2_CP.json").write_text(json.dumps({"label_info": [{"name": "Mass", "idx": 1}]}))
    store = CohortStore(folder)
    (case,) = [case for case in store.labelled("CP") if case.image_id == "P2_CP"]
    np.testing.assert_array_equal(content(case.label) == 2, label.data == 2)
    assert case.drawn == {"mass"}
    assert (case.scanner, case.label_sha256) == ("GE", store.label("P2_CP").sha256)
    assert len(store.versions("P2_CP")) == 2
    store.close()


def test_monai_labels_own_index_is_taken_over_once_and_left_in_place(folder: Path) -> None:
    index = folder / "datastore_v2.json"
    label = {"ext": ".nii.gz", "info": {"label_info": [{"name": "kidney", "idx": 1}, {"name": "mass", "idx": 2}]}}
    objects = {
        "P1_CP": {"image": {"ext": ".nii.gz", "info": {"note": "first"}}, "labels": {"final": label}},
        "gone": {"image": {"ext": ".nii.gz"}, "labels": {}},
    }
    index.write_text(json.dumps({"name": "x", "description": "", "objects": objects}))
    before = index.read_bytes()
    store = CohortStore(folder)
    assert store.image("P1_CP").info == {"note": "first"}
    assert store.labelled("CP")[0].drawn == {"kidney", "mass"}
    store.merge_info("P1_CP", {"note": "changed"})
    store.close()
    again = CohortStore(folder)
    assert again.image("P1_CP").info == {"note": "changed"}
    assert index.read_bytes() == before
    again.close()


def test_a_damaged_index_of_monai_label_does_not_stop_the_start(folder: Path) -> None:
    (folder / "datastore_v2.json").write_text('{"objects": {"P1_CP": {"ima')
    store = CohortStore(folder)
    assert len(store.image_ids()) == 4
    store.close()


def test_a_database_of_another_cohort_is_refused(folder: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.sqlite'}"
    CohortStore(folder, url).close()
    with pytest.raises(BadCohortError, match="another cohort"):
        CohortStore(tmp_path / "other", url)


def test_threads_save_and_read_at_once(store: CohortStore, folder: Path) -> None:
    files, failed = [label_file(folder, voxels) for voxels in range(1, 5)], []

    def work(number: int) -> None:
        try:
            for turn in range(6):
                saved = store.save_label("P2_CP", files[number], info={"author": f"r{number}"})
                assert any(version.sha256 == saved.sha256 for version in store.versions("P2_CP"))
                assert turn < len(store.versions("P2_CP"))
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [version.number for version in store.versions("P2_CP")] == list(range(1, 25))


@pytest.mark.parametrize("minutes", [-1, "3", float("nan"), float("inf"), True])
def test_minutes_that_are_no_duration_are_refused(store: CohortStore, folder: Path, minutes: object) -> None:
    with pytest.raises(BadRequestError, match="minutes"):
        store.save_label("P2_CP", label_file(folder), info={"minutes": minutes})


def grid_of(volume: Volume) -> Grid:
    return Grid(shape=volume.shape, affine=volume.affine)


@settings(max_examples=48, deadline=None)
@given(order=st.permutations(range(3)), flips=st.tuples(*[st.booleans()] * 3))
def test_a_turned_label_is_turned_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], flips: tuple[bool, ...]
) -> None:
    angle = 0.3
    oblique = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0.1], [0, -0.1, 1]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = oblique * (1.5, 1.4, 3), (-80, 12, 40)
    data = np.random.default_rng(0).integers(0, 4, (5, 6, 7), dtype=np.uint8)
    turn = np.array([[axis, -1 if flip else 1] for axis, flip in zip(order, flips, strict=True)], dtype=float)
    turned = nib.Nifti1Image(data, affine).as_reoriented(turn)
    path = tmp_path_factory.mktemp("turned") / "label.nii.gz"
    nib.save(turned, path)
    label, _ = checked_label(path, Grid(shape=data.shape, affine=affine), {})
    np.testing.assert_array_equal(label.data, data)


def test_a_label_between_the_voxels_is_refused(tmp_path: Path) -> None:
    _, label = two_kidneys()
    moved = label.affine.copy()
    moved[1, 3] += 0.5
    write_volume(Volume(data=label.data, affine=moved), tmp_path / "l.nii.gz")
    with pytest.raises(GeometryError, match=r"0\.50 mm"):
        checked_label(tmp_path / "l.nii.gz", grid_of(label), {})


def test_a_label_stored_as_fractions_is_refused(tmp_path: Path) -> None:
    _, label = two_kidneys()
    write_volume(Volume(data=label.data.astype(np.float32), affine=label.affine), tmp_path / "l.nii.gz")
    with pytest.raises(BadLabelError, match="expected integers"):
        checked_label(tmp_path / "l.nii.gz", grid_of(label), {})


SLICER = [{"name": "mass_1", "idx": 1}, {"name": "Kidney", "idx": 2}, {"name": "mass", "idx": 7}]


@pytest.mark.parametrize(
    ("listed", "values"),
    [
        (SLICER, {1: 2, 2: 1, 7: 2}),
        ([{"name": "cyst"}, {"name": "mass"}], {1: 3, 2: 2}),
        ([{"name": "mass", "idx": 0}, {"name": "kidney", "idx": 0}], {1: 2, 2: 1}),
    ],
)
def test_segments_are_told_by_name(tmp_path: Path, listed: list[dict], values: dict[int, int]) -> None:
    data = np.zeros((4, 4, 4), np.uint8)
    for place, value in enumerate(values):
        data[place] = value
    write_volume(Volume(data=data, affine=np.eye(4)), tmp_path / "l.nii.gz")
    label, _ = checked_label(tmp_path / "l.nii.gz", Grid(shape=data.shape, affine=np.eye(4)), {"label_info": listed})
    for place, value in enumerate(values.values()):
        assert (label.data[place] == value).all()


def test_a_value_that_no_segment_explains_is_refused(tmp_path: Path) -> None:
    data = np.full((4, 4, 4), 2, np.uint8)
    write_volume(Volume(data=data, affine=np.eye(4)), tmp_path / "l.nii.gz")
    with pytest.raises(BadLabelError, match="value 2"):
        checked_label(
            tmp_path / "l.nii.gz",
            Grid(shape=data.shape, affine=np.eye(4)),
            {"label_info": [{"name": "mass", "idx": 1}]},
        )


def test_labels_found_in_the_folder_are_checked_in_one_transaction(
    make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CohortStore(make_cohort([f"P{number}" for number in range(5)], ["CP"]))
    write, transactions = store.index.write, []
    monkeypatch.setattr(store.index, "write", lambda: transactions.append(1) or write())
    assert len(store.labelled("CP")) == 5
    assert len(transactions) == 1
    assert len(store.labelled("CP")) == 5
    assert len(transactions) == 1
    store.close()
