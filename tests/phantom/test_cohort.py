"""Cohort folders: reproducible, complete or visibly not, and of any sequence in the tables."""

import json
from pathlib import Path

import numpy as np
import pytest

from lib.domain.cohort import read_cohort
from lib.domain.errors import BadCohortError, UnknownSequenceError
from lib.domain.scanners import VENDORS
from lib.domain.sequences import SEQUENCES, SequenceSpec
from lib.domain.structures import LABEL_VALUES
from lib.imaging.volume import read_label, read_volume
from lib.phantom import cohort
from lib.phantom.cohort import SMALL_SIZE, generate_cohort, make_case, make_patient
from lib.phantom.contrast import CONTRAST


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        generate_cohort(tmp_path / name, patients=2, seed=4, size=SMALL_SIZE, workers=workers, sequences=["T2WI", "CP"])
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_asking_for_one_sequence_changes_no_image(tmp_path: Path) -> None:
    generate_cohort(tmp_path / "all", patients=1, seed=4, size=SMALL_SIZE, sequences=["CP", "NP"])
    generate_cohort(tmp_path / "one", patients=1, seed=4, size=SMALL_SIZE, sequences=["NP"])
    whole, part = files(tmp_path / "all"), files(tmp_path / "one")
    del part["cohort.csv"]
    assert len(part) == 3
    assert all(whole[name] == content for name, content in part.items())


def test_another_seed_gives_another_patient() -> None:
    one, other = (make_case(seed, 0, "CP", size=SMALL_SIZE, vendors=["GE"]) for seed in (0, 1))
    assert not np.array_equal(one.image.data, other.image.data)


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_vendor_and_sequence_gives_a_usable_image(vendor: str, sequence: SequenceSpec) -> None:
    case = make_case(2, 0, sequence.code, vendors=[vendor], size=SMALL_SIZE)
    assert case.record.vendor == vendor
    assert case.image.data.dtype == np.int16
    assert case.image.data.min() >= 0
    assert case.image.data.std() > 10
    assert case.label.shape == case.image.shape == SMALL_SIZE.matrix
    assert set(np.unique(case.label.data).tolist()) <= LABEL_VALUES


def test_images_of_one_patient_share_the_anatomy() -> None:
    volumes = [
        np.count_nonzero(case.label.data == 1) * np.prod(case.label.spacing_mm)
        for case in (make_case(6, 1, code, size=SMALL_SIZE) for code in SEQUENCES)
    ]
    assert max(volumes) < 1.3 * min(volumes)


def test_the_folder_is_a_cohort_that_reads_back(tmp_path: Path) -> None:
    told: list[int] = []
    rows = generate_cohort(tmp_path / "c", patients=2, seed=0, size=SMALL_SIZE, on_patient=told.append)
    assert told == [1, 2]
    assert read_cohort(tmp_path / "c") == rows
    assert {row.image_id for row in rows} == {f"P{number:04d}_{code}" for number in (0, 1) for code in SEQUENCES}
    for row in rows:
        image = read_volume(tmp_path / "c" / f"{row.image_id}.nii.gz")
        label = read_label(tmp_path / "c" / "labels" / "final" / f"{row.image_id}.nii.gz")
        sidecar = json.loads((tmp_path / "c" / f"{row.image_id}.json").read_text())
        assert image.shape == label.shape
        np.testing.assert_allclose(image.affine, label.affine)
        assert sidecar["MagneticFieldStrength"] == row.field_t


def test_sidecar_tells_seconds_and_contrast_agent() -> None:
    before, after = (make_case(0, 0, code, size=SMALL_SIZE).sidecar for code in ("T1WI", "CP"))
    assert "ContrastBolusAgent" not in before
    assert after["ContrastBolusAgent"]
    assert 0.002 < float(str(after["RepetitionTime"])) < 0.01


def test_a_series_of_single_slices_has_their_name_and_type() -> None:
    sidecars = [make_case(0, number, "T1WI", vendors=["Siemens"], size=SMALL_SIZE).sidecar for number in range(8)]
    names = {str(one["MRAcquisitionType"]): str(one["SeriesDescription"]).split()[1] for one in sidecars}
    assert names == {"2D": "fl2d", "3D": "vibe"}


def test_clinical_columns_describe_the_largest_mass() -> None:
    number = next(n for n in range(50) if len(make_patient(0, n).anatomy.masses) > 1)
    largest = max(make_patient(0, number).anatomy.masses, key=lambda mass: mass.size_mm)
    clinical = make_case(0, number, "NP", size=SMALL_SIZE).record.clinical
    assert clinical["size_mm"] == f"{largest.size_mm:.1f}"
    assert (clinical["histology"], clinical["side"]) == (largest.tissue, largest.side)


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(BadCohortError, match="not empty"):
        generate_cohort(tmp_path, patients=1, seed=0, size=SMALL_SIZE)
    assert list(files(tmp_path)) == ["mine.txt"]


def test_an_interrupted_run_leaves_no_table_and_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seed: int, patient: int, **_asked: object) -> cohort.Patient:
        if patient == 1:
            raise KeyboardInterrupt
        return make_patient(seed, patient)

    monkeypatch.setattr(cohort, "make_patient", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate_cohort(tmp_path / "c", patients=2, seed=0, size=SMALL_SIZE, sequences=["NP"])
    assert sorted(files(tmp_path / "c")) == ["P0000_NP.json", "P0000_NP.nii.gz", "labels/final/P0000_NP.nii.gz"]


def test_a_sixth_sequence_is_two_rows_and_changes_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_case(0, 0, "DP", size=SMALL_SIZE)
    monkeypatch.setitem(
        SEQUENCES, "EP", SequenceSpec(code="EP", title="Excretory", weighting="T1", delay_s=(900, 1800))
    )
    monkeypatch.setitem(CONTRAST, "EP", CONTRAST["DP"])
    made = make_case(0, 0, "EP", size=SMALL_SIZE)
    assert made.record.image_id == "P0000_EP"
    assert np.array_equal(make_case(0, 0, "DP", size=SMALL_SIZE).image.data, before.image.data)


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"workers": 0}, {"sequences": []}, {"vendors": ["Acme"]}])
def test_numbers_and_vendors_that_make_no_cohort_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(BadCohortError, match="expected"):
        generate_cohort(tmp_path / "c", **{"patients": 1, "seed": 0, "size": SMALL_SIZE, **wrong})  # type: ignore[arg-type]


def test_an_unknown_sequence_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnknownSequenceError, match="DWI"):
        generate_cohort(tmp_path / "c", patients=1, seed=0, sequences=["DWI"])
    assert not (tmp_path / "c").exists()
