"""DICOM to cohort through the real converter: exact voxels, nobody's name, nothing lost, nothing overwritten."""

import gzip
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from lib.domain.cohort import read_cohort, record_of
from lib.domain.errors import BadCohortError, BadDicomError, BadKeyError, BadRequestError
from lib.domain.ledger import SeriesRow
from lib.domain.sequences import SEQUENCES
from lib.imaging.geometry import to_canonical
from lib.imaging.volume import Volume
from lib.ingest.dicom import ImportResult, import_dicom
from lib.ingest.pseudonym import Pseudonyms, open_key
from tests.ingest.examination import SLICES, case_of, dynamic, enhanced, identity_of, series, write

Import = Callable[..., ImportResult]
REAL = Path(__file__).parents[3] / "shared" / "data" / "dicom"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "cohort"


@pytest.fixture
def bring(tmp_path: Path, into: Path) -> Import:
    """Import a folder into the cohort of this test, with the key of this test."""

    def bring(source: Path, *decisions: str, centre: str = "A", key: str = "import.key") -> ImportResult:
        key_file = tmp_path / "secret" / key
        return import_dicom(source, into, centre=centre, key_file=key_file, decisions=decisions)

    return bring


def voxels(path: Path) -> Volume:
    image = nib.load(path)
    return to_canonical(Volume(data=np.asanyarray(image.dataobj), affine=image.affine))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def months_later(dataset: pydicom.Dataset) -> None:
    dataset.StudyInstanceUID, dataset.StudyDate = "1.2.3", "20301224"
    dataset.SeriesInstanceUID = f"1.2.3.{dataset.SeriesNumber}"
    uid = f"{dataset.SeriesInstanceUID}.{dataset.InstanceNumber}"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid


def row_of(result: ImportResult, **wanted: object) -> SeriesRow:
    (row,) = [row for row in result.rows if all(getattr(row, name) == value for name, value in wanted.items())]
    return row


@pytest.mark.parametrize("vendor", ["GE", "Philips", "UIH"])
def test_an_examination_becomes_five_images_with_the_phantoms_voxels(
    bring: Import, tmp_path: Path, into: Path, vendor: str
) -> None:
    result = bring(write(tmp_path / "dicom", *(series(code, 1, vendor=vendor) for code in SEQUENCES)))
    assert {row.code for row in result.rows} == set(SEQUENCES)
    for record in read_cohort(into):
        image, case = into / f"{record.image_id}.nii.gz", case_of(record.sequence, 1, vendor)
        found, expected = voxels(image), to_canonical(case.image)
        np.testing.assert_array_equal(found.data, expected.data)
        np.testing.assert_allclose(found.affine, expected.affine, atol=1e-3)
        assert nib.load(image).get_data_dtype() == np.int16
        assert (record.centre, record.vendor, record.scanner_model) == ("A", vendor, case.record.scanner_model)
        assert record.field_t == case.record.field_t
        assert re.fullmatch(r"P[0-9a-f]{12}", record.patient_id)


def test_two_phases_in_one_series_become_two_images(bring: Import, tmp_path: Path, into: Path) -> None:
    result = bring(write(tmp_path / "dicom", series("T1WI"), dynamic("CP", "NP", "DP")))
    assert {row.code for row in result.rows} == {"T1WI", "CP", "NP", "DP"}
    arterial = to_canonical(case_of("CP").image).data
    for number, code in enumerate(("CP", "NP", "DP"), start=1):
        row = row_of(result, code=code)
        assert (row.status, row.slices) == ("imported", SLICES)
        assert row.part.endswith("of 3 by TemporalPositionIdentifier")
        found = voxels(into / f"{row.image_id}.nii.gz")
        np.testing.assert_array_equal(found.data, arterial // number)


def test_a_series_with_a_missing_slice_is_skipped_and_still_counts_in_the_order(bring: Import, tmp_path: Path) -> None:
    arterial = series("CP")
    del arterial[3]
    result = bring(write(tmp_path / "dicom", series("T1WI"), arterial, series("NP")))
    assert row_of(result, code="CP").status == "skipped"
    assert row_of(result, code="CP").why.startswith("1 slice is missing")
    assert row_of(result, code="NP").status == "imported"


def test_a_duplicated_position_is_skipped(bring: Import, tmp_path: Path) -> None:
    slices = series("CP")
    again = series("CP")[2]
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    result = bring(write(tmp_path / "dicom", [*slices, again], series("T2WI")))
    assert "1 of 8 positions occur more than once" in row_of(result, status="skipped").why


def test_copies_of_a_file_are_taken_once(bring: Import, tmp_path: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP"))
    for path in list(folder.rglob("*.dcm")):
        (folder / f"copy of {path.name}").write_bytes(path.read_bytes())
    result = bring(folder)
    assert (row_of(result).status, row_of(result).slices) == ("imported", SLICES)


def test_different_images_with_one_uid_are_skipped(bring: Import, tmp_path: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP"), series("T2WI"))
    changed = series("CP")[1]
    changed.PixelData = bytes(len(changed.PixelData))
    write(tmp_path / "dicom", [changed])
    assert row_of(bring(folder), code="CP").why == "different images share one SOP instance UID"


# Other ways to store the same pixels


def test_an_enhanced_file_of_one_volume_is_imported(bring: Import, tmp_path: Path, into: Path) -> None:
    row = row_of(bring(write(tmp_path / "dicom", [enhanced(series("CP"))])))
    assert (row.status, row.code, row.slices) == ("imported", "CP", SLICES)
    found = voxels(into / f"{row.image_id}.nii.gz")
    np.testing.assert_array_equal(found.data, to_canonical(case_of("CP").image).data)


def test_an_enhanced_file_of_two_phases_is_not_merged(bring: Import, tmp_path: Path) -> None:
    result = bring(write(tmp_path / "dicom", [enhanced(dynamic("CP", "NP"))]))
    assert [row.status for row in result.rows] == ["skipped"] * 2
    assert all("several phases inside one multi-frame file" in row.why for row in result.rows)


def test_an_enhanced_file_that_lost_a_frame_is_skipped(bring: Import, tmp_path: Path) -> None:
    slices = series("CP")
    del slices[3]
    assert row_of(bring(write(tmp_path / "dicom", [enhanced(slices)]))).why.startswith("1 slice is missing")


def test_compressed_pixels_are_imported_and_truncated_ones_are_not(bring: Import, tmp_path: Path, into: Path) -> None:
    def compress(dataset: pydicom.Dataset) -> None:
        dataset.compress(pydicom.uid.RLELossless, np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, -1))

    folder = write(tmp_path / "dicom", series("CP", change=compress), series("NP", change=compress))
    path = next((folder / "01").iterdir())
    path.write_bytes(path.read_bytes()[:-300])
    result = bring(folder)
    found = voxels(into / f"{row_of(result, code='CP').image_id}.nii.gz")
    np.testing.assert_array_equal(found.data, to_canonical(case_of("CP").image).data)
    assert "truncated" in row_of(result, code="NP").why


def test_scaled_pixels_keep_their_values(bring: Import, tmp_path: Path, into: Path) -> None:
    def scale(dataset: pydicom.Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", "-3"

    row = row_of(bring(write(tmp_path / "dicom", series("CP", change=scale))))
    image = nib.load(into / f"{row.image_id}.nii.gz")
    assert image.get_data_dtype() == np.float32
    expected = to_canonical(case_of("CP").image).data * 0.5 - 3
    np.testing.assert_allclose(voxels(into / f"{row.image_id}.nii.gz").data, expected)


# Identity


def test_no_byte_of_the_output_names_anybody(bring: Import, tmp_path: Path, into: Path, caplog, capfd) -> None:
    person = identity_of()
    family, given = person.name.split("^")

    def name_all_over(dataset: pydicom.Dataset) -> None:
        dataset.SeriesDescription = f"{dataset.SeriesDescription} {family}"
        dataset.ProtocolName = f"{given} {person.patient_id} Oberarzt Kunibert"
        dataset.ImageComments = dataset.PatientComments = f"{person.name} {person.birth_date}"
        dataset.ContrastBolusAgent = f"Gadovist {person.name}"
        dataset.ManufacturerModelName = f"Skyra {person.patient_id}"

    pictures = [series(code, change=name_all_over) for code in SEQUENCES]
    result = bring(write(tmp_path / "dicom", *pictures, dynamic("CP", "NP")))
    assert len(result.imported) == len(SEQUENCES)
    dates = [
        f"{date[:4]}{gap}{date[4:6]}{gap}{date[6:]}"
        for date in (person.birth_date, person.study_date)
        for gap in ("", "-")
    ]
    uids = [pictures[0][0].StudyInstanceUID, pictures[0][0].SeriesInstanceUID, pictures[0][0].SOPInstanceUID]
    secrets = [family, given, person.patient_id, person.accession, *person.physician.split("^"), *dates, *uids]
    secrets += ["Beispielstadt", "Oberarzt", "Kunibert", "101751", "10:17:51", pictures[0][0].StationName]
    output = content(into)
    texts = [name.encode() for name in output] + [*output.values()]
    texts += [gzip.decompress(data) for name, data in output.items() if name.endswith(".gz")]
    printed = capfd.readouterr()
    texts += [caplog.text.encode(), printed.out.encode(), printed.err.encode(), repr(result).encode()]
    for secret in secrets:
        assert len(secret) > 3
        assert not [text[:60] for text in texts if secret.lower().encode() in text.lower()], secret
    sidecar = json.loads(output[f"{row_of(result, code='CP', status='imported').image_id}.json"])
    assert sidecar["ContrastBolusAgent"] == "Gadovist"
    assert sidecar["InstitutionName"] == "A"


def test_dates_of_a_patient_move_together_and_not_by_nothing(bring: Import, tmp_path: Path, into: Path) -> None:
    def later(dataset: pydicom.Dataset) -> None:
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.StudyDate = "1.2.3", "1.2.3.4", "20231224"

    first = identity_of().study_date
    bring(write(tmp_path / "dicom", series("CP"), series("NP", change=later)))
    shifted = {
        record.sequence: json.loads((into / f"{record.image_id}.json").read_text()) for record in read_cohort(into)
    }
    days = [np.datetime64(shifted[code]["AcquisitionDate"]) for code in ("CP", "NP")]
    true = [np.datetime64(f"{date[:4]}-{date[4:6]}-{date[6:]}") for date in (first, "20231224")]
    assert days[1] - days[0] == true[1] - true[0]
    assert days[0] < true[0]


def test_the_pseudonym_depends_on_patient_centre_and_key() -> None:
    names = Pseudonyms(key=bytes(32), centre="A")
    assert names.patient("4711") == Pseudonyms(key=bytes(32), centre="A").patient("4711")
    others = [
        names.patient("4712"),
        replace(names, centre="B").patient("4711"),
        names.study("4711"),
        names.series("4711"),
    ]
    others.append(replace(names, key=bytes(31) + b"1").patient("4711"))
    assert len({one[1:] for one in [names.patient("4711"), *others]}) == 6
    assert 0 < names.shift_days("4711") <= 3650
    assert "key" not in repr(names)


def test_another_key_for_the_same_cohort_is_refused(bring: Import, tmp_path: Path, into: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP"))
    bring(folder)
    before = content(into)
    with pytest.raises(BadKeyError, match="another key"):
        bring(folder, key="other.key")
    assert content(into) == before


def test_a_key_is_made_for_its_owner_alone(bring: Import, tmp_path: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP"))
    bring(folder)
    key = tmp_path / "secret" / "import.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in key.parent.iterdir()] == ["import.key"]
    key.chmod(0o644)
    with pytest.raises(BadKeyError, match="chmod 600"):
        bring(folder)


@pytest.mark.parametrize("text", ["", "short", "00" * 31, "zz" * 32])
def test_a_file_that_is_no_key_is_refused(bring: Import, tmp_path: Path, text: str) -> None:
    key = tmp_path / "secret" / "import.key"
    key.parent.mkdir()
    key.write_text(text)
    key.chmod(0o600)
    with pytest.raises(BadKeyError, match="64 hexadecimal digits"):
        bring(write(tmp_path / "dicom", series("CP")))


def test_a_key_inside_the_cohort_is_refused(tmp_path: Path, into: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP"))
    for key in (into / "import.key", tmp_path / "x" / ".." / "cohort" / "deep" / "import.key"):
        with pytest.raises(BadKeyError, match="inside the cohort"):
            import_dicom(folder, into, centre="A", key_file=key)
    assert not into.exists()


def test_one_import_at_a_time_uses_a_key(tmp_path: Path, into: Path) -> None:
    with open_key(tmp_path / "import.key", into), pytest.raises(BadKeyError, match="another import"):
        import_dicom(write(tmp_path / "dicom", series("CP")), into, centre="A", key_file=tmp_path / "import.key")


@pytest.mark.parametrize("centre", ["", " ", "a/b", "a\nb", "x" * 65, "=1+1"])
def test_a_centre_that_is_no_name_is_refused(bring: Import, tmp_path: Path, centre: str) -> None:
    with pytest.raises(BadRequestError, match="centre"):
        bring(write(tmp_path / "dicom", series("CP")), centre=centre)


# Again, and after a crash


def test_importing_twice_changes_no_byte(bring: Import, tmp_path: Path, into: Path) -> None:
    folder = write(tmp_path / "dicom", *(series(code) for code in SEQUENCES), dynamic("CP", "NP"))
    first = bring(folder)
    before = content(into)
    second = bring(folder)
    assert content(into) == before
    assert second.imported == ()
    assert sorted(second.already) == sorted(first.imported)
    assert second.rows == first.rows


@pytest.mark.parametrize("lost", [["import.json"], ["cohort.csv", "import.json"]])
def test_a_run_that_broke_off_is_finished_by_the_next(
    bring: Import, tmp_path: Path, into: Path, lost: list[str]
) -> None:
    folder = write(tmp_path / "dicom", series("CP"), series("NP"), series("CP", change=months_later))
    bring(folder)
    before = content(into)
    for name in lost:
        (into / name).unlink()
        (into / f".{name}.abc.part").write_bytes(b"half of it")
    (into / f".{next(name for name in before if name.endswith('.nii.gz'))}.abc.part").touch()
    bring(folder)
    assert content(into) == before


def test_an_image_that_is_there_is_never_overwritten(bring: Import, tmp_path: Path, into: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP"), series("NP"))
    image = into / f"{row_of(bring(folder), code='CP').image_id}.nii.gz"
    image.write_bytes(b"a reader's own")
    (into / "import.json").unlink()
    result = bring(folder)
    assert image.read_bytes() == b"a reader's own"
    assert "never overwritten" in row_of(result, code="CP").why


def test_nothing_is_put_under_a_label_that_is_there(bring: Import, tmp_path: Path, into: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP"), series("NP"))
    image = into / f"{row_of(bring(folder), code='CP').image_id}.nii.gz"
    image.unlink()
    label = into / "labels" / "final" / image.name
    label.parent.mkdir(parents=True)
    label.write_bytes(b"label")
    assert "a label of" in row_of(bring(folder), code="CP").why
    assert not image.exists()


def test_rows_of_the_table_stay_and_their_columns_too(bring: Import, tmp_path: Path, make_cohort, into: Path) -> None:
    make_cohort(["Q1"], ["CP"])
    table = into / "cohort.csv"
    head, row = table.read_text().splitlines()
    table.write_text(f"{head},histology\n{row},clear cell\n")
    bring(write(tmp_path / "dicom", series("NP")))
    old, new = read_cohort(into)
    assert (old.image_id, old.clinical) == ("Q1_CP", {"histology": "clear cell"})
    assert new.sequence == "NP"


def test_a_folder_of_images_without_a_table_is_refused(bring: Import, tmp_path: Path, into: Path) -> None:
    into.mkdir()
    (into / "somebody_CP.nii.gz").touch()
    with pytest.raises(BadCohortError, match=r"no cohort\.csv"):
        bring(write(tmp_path / "dicom", series("CP")))


# Several candidates, and decisions


def test_of_two_series_of_one_sequence_the_one_with_more_slices_is_taken(bring: Import, tmp_path: Path) -> None:
    def other_series(dataset: pydicom.Dataset) -> None:
        dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.3.4", 1
        dataset.ImagesInAcquisition = SLICES - 1

    short = series("T2WI", change=other_series)[1:]
    result = bring(write(tmp_path / "dicom", short, series("T2WI")))
    best = row_of(result, status="imported")
    assert best.slices == SLICES
    assert row_of(result, status="duplicate").why == f"{best.series} was taken for {best.image_id}"


# Several studies of a patient


@pytest.mark.parametrize("order", [["now", "later"], ["later", "now"], ["both"]])
def test_a_follow_up_becomes_images_of_its_own_of_the_same_patient(
    bring: Import, tmp_path: Path, into: Path, order: list[str]
) -> None:
    now, later = series("CP"), series("CP", change=months_later)
    for name in order:
        bring(write(tmp_path / name, *{"now": [now], "later": [later], "both": [later, now]}[name]))
    images = read_cohort(into)
    patient = images[0].patient_id
    assert {record.image_id: record.patient_id for record in images} == {
        f"{patient}_CP": patient,
        f"{patient}-study2_CP": patient,
    }
    assert [record_of(record.image_id).patient_id for record in images] == [patient, patient]
    before = content(into)
    again = bring(write(tmp_path / "again", now, later))
    assert (again.imported, len(again.already)) == ((), 2)
    assert content(into) == before


def test_each_image_says_which_study_it_is_of_and_when_that_was(bring: Import, tmp_path: Path) -> None:
    result = bring(write(tmp_path / "dicom", series("CP"), series("NP"), series("CP", change=months_later)))
    first, second, third = (row_of(result, code=code, study=study) for code, study in _codes_by_study(result))
    assert first.study == second.study != third.study
    assert (first.image_id[-3:], second.image_id[-3:], third.image_id[-10:]) == ("_CP", "_NP", "-study2_CP")
    assert first.study_date == second.study_date < third.study_date
    assert identity_of().study_date not in first.study_date.replace("-", "")


def _codes_by_study(result: ImportResult) -> list[tuple[str, str]]:
    dated = sorted(result.rows, key=lambda row: (row.study_date, row.code))
    return [(row.code, row.study) for row in dated]


def unnamed(dataset: pydicom.Dataset) -> None:
    dataset.SeriesDescription = dataset.ProtocolName = "serie"
    for name in ("ContrastBolusAgent", "ContrastBolusStartTime", "EchoTime", "RepetitionTime", "ScanningSequence"):
        if name in dataset:
            delattr(dataset, name)


def test_what_no_rule_names_waits_for_a_decision_that_holds(bring: Import, tmp_path: Path, into: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP", change=unnamed))
    waiting = row_of(bring(folder))
    assert waiting.status == "unknown"
    assert f"--decide {waiting.series}=CODE" in waiting.why
    assert not into.exists()
    decided = row_of(bring(folder, f"{waiting.series}=CP"))
    assert (decided.status, decided.rule, decided.confidence) == ("imported", "decided", 1.0)
    before = content(into)
    assert row_of(bring(folder)) == decided
    assert content(into) == before
    assert (tmp_path / "secret" / "decisions.csv").read_text() == f"series,code\n{waiting.series},CP\n"


def test_deciding_against_an_image_that_is_there_is_refused(bring: Import, tmp_path: Path, into: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP"))
    row = row_of(bring(folder))
    before = content(into)
    with pytest.raises(BadRequestError, match=f"in the cohort as {row.image_id}"):
        bring(folder, f"{row.series}=NP")
    assert content(into) == before
    assert not (tmp_path / "secret" / "decisions.csv").exists()


def test_a_person_can_overrule_that_a_series_is_none_of_the_five(bring: Import, tmp_path: Path) -> None:
    def opposed(dataset: pydicom.Dataset) -> None:
        dataset.SeriesDescription = dataset.ProtocolName = "t1 gre opposed phase tra"

    folder = write(tmp_path / "dicom", series("T1WI", change=opposed))
    row = row_of(bring(folder))
    assert row.status == "other"
    assert row_of(bring(folder, f"{row.series}=T1WI")).status == "imported"


def test_a_guess_that_is_not_sure_waits_for_a_decision(
    bring: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib.ingest.dicom.SURE", 0.99)
    row = row_of(bring(write(tmp_path / "dicom", series("CP"))))
    assert (row.status, row.code) == ("unknown", "CP")
    assert "is too low; a person decides" in row.why


def test_a_decision_in_the_table_beside_the_key_is_applied(bring: Import, tmp_path: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP", change=unnamed))
    waiting = row_of(bring(folder))
    (tmp_path / "secret" / "decisions.csv").write_text(f"series,code\n{waiting.series},NP\n")
    assert row_of(bring(folder)).image_id == f"{waiting.patient}_NP"


@pytest.mark.parametrize("decision", ["S000000000000=CP", "S1=CP", "CP", "S000000000000=FLAIR", "=", "../x=CP"])
def test_a_decision_that_makes_no_sense_is_refused(bring: Import, tmp_path: Path, into: Path, decision: str) -> None:
    with pytest.raises(BadRequestError, match="expected"):
        bring(write(tmp_path / "dicom", series("CP")), decision)
    assert not into.exists()


# What people's folders hold


def test_every_kind_of_bad_input_is_reported_and_the_rest_imported(bring: Import, tmp_path: Path) -> None:
    def two_patients(dataset: pydicom.Dataset) -> None:
        dataset.StudyInstanceUID = "1.2.99"
        dataset.SeriesInstanceUID = f"1.2.99.{dataset.PatientID[2:]}"

    def nobody(dataset: pydicom.Dataset) -> None:
        dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "", "1.2.98", "1.2.98.1"

    ct, pdf = series("NP")[0], series("NP")[1]
    ct.SOPClassUID, ct.Modality, ct.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "CT", "1.2.97"
    pdf.SOPClassUID, pdf.Modality, pdf.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.104.1", "DOC", "1.2.96"
    strangers = series("CP", 1, change=two_patients), series("CP", 2, change=two_patients)
    folder = write(tmp_path / "dicom", series("CP"), *strangers, series("CP", 3, change=nobody), [ct], [pdf])
    (folder / "notes.txt").write_text("no DICOM")
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere").symlink_to(folder / "missing")
    (folder / "self").symlink_to(folder / "self")
    (folder / "damaged.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 64)
    result = bring(folder)
    assert [row.code for row in result.rows if row.status == "imported"] == ["CP"]
    said = sorted(row.why for row in result.rows if row.status == "skipped")
    assert said == [
        "a PDF document; expected MR images",
        "it has no patient ID; expected one, to tell patients apart",
        "its study holds more than one patient ID; expected one",
        "its study holds more than one patient ID; expected one",
        "modality CT; expected MR images",
    ]
    assert (result.not_dicom, result.dead_links, len(result.damaged)) == (1, 3, 1)
    assert {row.patient for row in result.rows if "patient ID" in row.why} == {""}


def test_truncated_pixels_are_skipped(bring: Import, tmp_path: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP"), series("NP"))
    path = sorted((folder / "00").iterdir())[4]
    path.write_bytes(path.read_bytes()[:-500])
    assert row_of(bring(folder), code="CP").why == f"the pixel data of 1 of {SLICES} slices are truncated or damaged"


@pytest.mark.parametrize("keep", [0, 100, 200, 400, 900])
def test_a_file_cut_anywhere_never_lets_a_volume_through(bring: Import, tmp_path: Path, into: Path, keep: int) -> None:
    folder = write(tmp_path / "dicom", series("CP"))
    path = max(folder.rglob("*.dcm"))
    path.write_bytes(path.read_bytes()[:keep])
    result = bring(folder)
    assert result.imported == ()
    assert not into.exists()


def test_when_the_best_series_does_not_convert_the_next_is_taken_each_time(
    bring: Import, tmp_path: Path, into: Path
) -> None:
    def other_series(dataset: pydicom.Dataset) -> None:
        dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.3.4", 12

    folder = write(tmp_path / "dicom", series("T2WI"), series("T2WI", change=other_series))
    path = next((folder / "00").iterdir())
    path.write_bytes(path.read_bytes()[:-10])
    assert sorted(row.status for row in bring(folder).rows) == ["imported", "skipped"]
    before = content(into)
    assert sorted(row.status for row in bring(folder).rows) == ["imported", "skipped"]
    assert content(into) == before


def test_nothing_importable_leaves_the_cohort_as_it_was(bring: Import, tmp_path: Path, make_cohort, into: Path) -> None:
    make_cohort(["Q1"], ["CP"])
    before = content(into)
    result = bring(write(tmp_path / "dicom", series("CP")[:3]))
    assert [row.status for row in result.rows] == ["skipped"]
    assert content(into) == before


def zipped(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted(folder.rglob("*.dcm")):
            target.writestr(zipfile.ZipInfo(f"{prefix}{path.relative_to(folder)}"), path.read_bytes())
    return archive


def test_a_zip_gives_what_its_folder_gives(bring: Import, tmp_path: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP"), series("T2WI"))
    assert bring(zipped(folder, tmp_path / "disc.zip")).rows == bring(folder).rows


@pytest.mark.parametrize("prefix", ["../", "/etc/", "a/../../", "C:\\x\\", "..\\"])
def test_a_zip_with_names_that_lead_out_is_refused(bring: Import, tmp_path: Path, into: Path, prefix: str) -> None:
    archive = zipped(write(tmp_path / "dicom", series("CP")), tmp_path / "disc.zip", prefix)
    with pytest.raises(BadDicomError, match="lead out of"):
        bring(archive)
    assert not into.exists()


def test_a_damaged_zip_is_refused(bring: Import, tmp_path: Path) -> None:
    archive = zipped(write(tmp_path / "dicom", series("CP")), tmp_path / "disc.zip")
    packed = bytearray(archive.read_bytes())
    packed[len(packed) // 3 : len(packed) // 3 + 400] = bytes(400)
    archive.write_bytes(packed)
    with pytest.raises(BadDicomError, match="damaged"):
        bring(archive)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_source_that_is_no_folder_and_no_zip_is_refused(bring: Import, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(BadDicomError, match="neither a folder nor a zip"):
        bring(tmp_path / name)


def test_files_without_a_preamble_or_ending_are_read(bring: Import, tmp_path: Path) -> None:
    folder = tmp_path / "dicom"
    folder.mkdir()
    for number, dataset in enumerate(series("CP")):
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.is_implicit_VR = True
        pydicom.dcmwrite(folder / f"I{number}", dataset, write_like_original=True)
    assert row_of(bring(folder)).status == "imported"


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real DICOM slices is not on this machine")
def test_real_single_slices_are_reported_and_none_is_imported(bring: Import, into: Path) -> None:
    result = bring(REAL)
    assert len(result.rows) >= 4
    assert {row.status for row in result.rows} == {"skipped"}
    assert all("slice position" in row.why for row in result.rows)
    assert not into.exists()
    assert not {row.code for row in result.rows} & set(SEQUENCES)


def test_rows_hold_plain_values_only(bring: Import, tmp_path: Path) -> None:
    result = bring(write(tmp_path / "dicom", series("CP")))
    assert json.loads(json.dumps(asdict(row_of(result)))) == asdict(row_of(result))
