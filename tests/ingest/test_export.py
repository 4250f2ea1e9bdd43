"""Labels of an imported cohort find back to the series that they came from."""

from datetime import UTC, datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from lib.domain.cohort import read_cohort
from lib.domain.errors import BadCohortError, BadKeyError, BadRequestError
from lib.domain.records import LabelVersion
from lib.domain.structures import KIDNEY, MASS
from lib.imaging.volume import Volume, read_volume, write_volume
from lib.ingest.dicom import import_dicom
from lib.ingest.dicom_planes import lay_on, planes_of
from lib.ingest.dicomseg_read import read_seg
from lib.ingest.export import ExportRow, export_labels, label_objects
from lib.ingest.pseudonym import Pseudonyms
from tests.ingest.examination import dynamic, identity_of, series, write


def version_of(image_id: str, path: Path, author: str = "Dr Jorid Beispiel") -> LabelVersion:
    return LabelVersion(
        image_id=image_id, tag="final", number=1, final=True, path=path, sha256="", author=author, source="client",
        created=datetime(2026, 3, 4, tzinfo=UTC), structures=frozenset({"mass"}), model_version="CP-2", minutes=None,
    )  # fmt: skip


@pytest.fixture
def imported(tmp_path: Path) -> tuple[Path, Path, dict[str, LabelVersion]]:
    """DICOM of a T2WI and of two phases in one series, the cohort made of it, and a label drawn on each image."""
    discs = write(tmp_path / "discs", series("T2WI"), series("T1WI"), dynamic("CP", "NP"))
    cohort, key = tmp_path / "cohort", tmp_path / "secret" / "import.key"
    import_dicom(discs, cohort, centre="A", key_file=key)
    labels = {}
    for number, record in enumerate(read_cohort(cohort)):
        image = read_volume(cohort / f"{record.image_id}.nii.gz")
        data = np.zeros(image.shape, np.uint8)
        data[3:7, 5:9, 2:5], data[4:6, 6:8, 3 + number % 2] = KIDNEY, MASS
        path = tmp_path / "drawn" / f"{record.image_id}.nii.gz"
        write_volume(Volume(data=data, affine=image.affine), path)
        labels[record.image_id] = version_of(record.image_id, path)
    return discs, cohort, labels


def export(tmp_path: Path, imported: tuple[Path, Path, dict[str, LabelVersion]]) -> list[ExportRow]:
    discs, cohort, labels = imported
    return export_labels(labels, cohort, discs, tmp_path / "out", key_file=tmp_path / "secret" / "import.key")


def test_each_label_comes_back_voxel_by_voxel_from_its_own_phase(
    tmp_path: Path, imported: tuple[Path, Path, dict[str, LabelVersion]]
) -> None:
    discs, cohort, labels = imported
    rows = export(tmp_path, imported)
    assert {row.image_id: row.why for row in rows} == dict.fromkeys(labels, "")
    images = {one.SOPInstanceUID: one for path in discs.rglob("*.dcm") if (one := pydicom.dcmread(path))}
    for row in rows:
        seg, report = (pydicom.dcmread(tmp_path / "out" / name) for name in row.files)
        assert (seg.Modality, report.Modality) == ("SEG", "SR")
        source = [
            images[one.ReferencedSOPInstanceUID] for one in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        ]
        shown = nib.load(cohort / f"{row.image_id}.nii.gz")
        stored = {float(np.sum(one.pixel_array, dtype=float)) for one in source}
        assert stored == set(np.asarray(shown.dataobj).sum(axis=(0, 1), dtype=float).tolist())  # of this phase
        label = nib.load(labels[row.image_id].path)
        back = lay_on(read_seg(seg, source).label, Volume(data=np.asarray(label.dataobj), affine=label.affine))
        np.testing.assert_array_equal(back.data, np.asarray(label.dataobj))


def test_the_reader_is_nobody_and_the_patient_is_who_it_was(
    tmp_path: Path, imported: tuple[Path, Path, dict[str, LabelVersion]]
) -> None:
    for row in export(tmp_path, imported):
        for name in row.files:
            payload = (tmp_path / "out" / name).read_bytes()
            assert b"Beispiel^" not in payload
            assert b"Jorid Beispiel" not in payload
            assert identity_of().name.encode() in payload


def test_a_label_whose_series_is_not_there_or_that_does_not_fit_says_why(
    tmp_path: Path, imported: tuple[Path, Path, dict[str, LabelVersion]]
) -> None:
    discs, _, labels = imported
    by_code = {image_id.rpartition("_")[2]: image_id for image_id in labels}
    for path in (discs / "00").iterdir():  # T2WI
        path.unlink()
    next(iter(sorted((discs / "01").iterdir())[3:])).unlink()  # T1WI
    affine = np.diag([9.0, 9.0, 9.0, 1.0])
    write_volume(Volume(data=np.ones((3, 3, 3), np.uint8), affine=affine), labels[by_code["CP"]].path)
    labels["P9_CP"] = version_of("P9_CP", labels[by_code["NP"]].path)
    why = {row.image_id: row.why for row in export(tmp_path, imported)}
    assert why[by_code["T2WI"]] == "its series does not lie in this folder"
    assert "1 slice is missing" in why[by_code["T1WI"]]
    assert "expected a label drawn on its grid" in why[by_code["CP"]] or "shape" in why[by_code["CP"]]
    assert why[by_code["NP"]] == ""
    assert why["P9_CP"] == "its image was not imported from DICOM"
    assert {path.name.partition(".")[0] for path in (tmp_path / "out").iterdir()} == {by_code["NP"]}


def test_what_cannot_be_exported_at_all_is_refused(
    tmp_path: Path, imported: tuple[Path, Path, dict[str, LabelVersion]]
) -> None:
    discs, cohort, labels = imported
    key = tmp_path / "secret" / "import.key"
    other = tmp_path / "secret" / "other.key"
    with pytest.raises(BadRequestError, match="inside the cohort"):
        export_labels(labels, cohort, discs, cohort / "dicom", key_file=key)
    with pytest.raises(BadKeyError, match="no key file"):
        export_labels(labels, cohort, discs, tmp_path / "out", key_file=other)
    assert not other.exists()
    other.write_text(f"{'0' * 64}\n")
    other.chmod(0o600)
    with pytest.raises(BadKeyError, match="another key"):
        export_labels(labels, cohort, discs, tmp_path / "out", key_file=other)
    with pytest.raises(BadCohortError, match=r"no import\.json"):
        export_labels(labels, tmp_path / "elsewhere", discs, tmp_path / "out", key_file=key)
    assert not (tmp_path / "out").exists()


def test_speckle_is_one_segment_and_not_measured(tmp_path: Path) -> None:
    slices = series("CP")
    planes = planes_of(slices)
    data = np.zeros(planes.grid.shape, np.uint8)
    data[::3, ::3, ::3] = MASS
    write_volume(Volume(data=data, affine=planes.grid.affine), tmp_path / "speckle.nii.gz")
    label = version_of("P1_CP", tmp_path / "speckle.nii.gz")
    objects = label_objects(label, "CP", slices, Pseudonyms(key=b"k" * 32, centre="A"))
    assert set(objects) == {"seg"}
    assert [item.SegmentLabel for item in objects["seg"].SegmentSequence] == ["Renal mass"]
