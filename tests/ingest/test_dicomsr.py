"""Measurements as DICOM SR: what is measured is what is written, and each refers to the segment of its mass."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from highdicom.sr import ComprehensiveSR
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from lib.domain.errors import BadLabelError
from lib.domain.structures import MASS, STRUCTURE_NAMES
from lib.imaging.lesions import measure_masses, short_axis_mm
from lib.imaging.volume import Volume
from lib.ingest.dicom_origin import Origin
from lib.ingest.dicomseg import write_seg
from lib.ingest.dicomsr import write_sr
from tests.ingest.examination import series
from tests.ingest.test_dicomseg import CORRECTED, PROPOSED, READER, drawn_on, on_disc, two_masses


def written(origin: Origin) -> tuple[Volume, Dataset, Dataset]:
    images = series("CP")
    label = drawn_on(images, two_masses)
    seg = write_seg(label, images, drawn=STRUCTURE_NAMES, origin=origin, each_mass=True)
    report = write_sr(label, seg, images, origin=origin)
    assert report is not None
    return label, on_disc(seg), on_disc(report)


def test_each_mass_is_reported_with_its_measures_side_and_segment() -> None:
    label, seg, report = written(CORRECTED)
    groups = ComprehensiveSR.from_dataset(report, copy=False).content.get_volumetric_roi_measurement_groups()
    masses = measure_masses(label)
    assert len(groups) == len(masses) == 2
    by_number = {item.SegmentNumber: item for item in seg.SegmentSequence}
    for group, mass in zip(groups, masses, strict=True):
        value = {one.name: one.value for one in group.get_measurements()}
        unit = {one.name: one.unit.value for one in group.get_measurements()}
        assert value[codes.SCT.Volume] == pytest.approx(mass.volume_ml, abs=5e-4)
        assert value[codes.SCT.LongAxis] == pytest.approx(mass.diameter_mm, abs=0.05)
        assert 0 < value[codes.SCT.ShortAxis] <= value[codes.SCT.LongAxis]
        assert list(unit.values()) == ["cm3", "mm", "mm"]
        (number,) = group.referenced_segment.referenced_segment_numbers
        assert by_number[number].TrackingUID == group.tracking_uid
        assert group.finding_type.value == "4147007"
        assert group.finding_sites[0].laterality.meaning.lower() == mass.side
    first = label.data.copy()
    first[:16] = 0
    expected = short_axis_mm(first == MASS, label.affine[:3, :3])
    found = {one.name: one.value for one in groups[0].get_measurements()}[codes.SCT.ShortAxis]
    assert found == pytest.approx(expected, abs=0.05)


def test_the_report_refers_to_the_seg_and_names_reader_and_model_by_their_ids() -> None:
    _, seg, report = written(CORRECTED)
    studies = report.CurrentRequestedProcedureEvidenceSequence
    found = {
        one.ReferencedSOPInstanceUID
        for study in studies
        for part in study.ReferencedSeriesSequence
        for one in part.ReferencedSOPSequence
    }
    assert seg.SOPInstanceUID in found
    text = str(report.ContentSequence)
    assert all(word in text for word in ("reader-7^", "segment_CP", "CP-2"))
    assert (report.PatientID, report.StudyInstanceUID) == (seg.PatientID, seg.StudyInstanceUID)
    assert (report.PreliminaryFlag, report.VerificationFlag) == ("FINAL", "UNVERIFIED")
    assert written(PROPOSED)[2].PreliminaryFlag == "PRELIMINARY"
    assert written(CORRECTED)[2] == report  # the same label, the same object


def test_a_label_without_a_mass_has_no_report() -> None:
    images = series("CP")
    empty = drawn_on(images)
    seg = write_seg(empty, images, drawn=["mass"], origin=READER, each_mass=True)
    assert write_sr(empty, seg, images, origin=READER) is None


def test_a_seg_of_all_masses_or_of_another_label_is_refused() -> None:
    images = series("CP")
    label, other = drawn_on(images, two_masses), drawn_on(images, lambda data: data.__setitem__((3, 3, 3), MASS))
    joined = write_seg(label, images, drawn=["mass"], origin=READER)
    of_other = write_seg(other, images, drawn=["mass"], origin=READER, each_mass=True)
    for seg in (joined, of_other):
        with pytest.raises(BadLabelError, match="no segment of mass 1 alone"):
            write_sr(label, seg, images, origin=READER)


def test_a_tracking_uid_follows_the_voxels() -> None:
    images = series("CP")
    label = drawn_on(images, two_masses)
    grown = Volume(data=np.where(label.data == 0, 0, label.data), affine=label.affine)
    grown.data[26, 9, 5] = MASS
    segs = [write_seg(one, images, drawn=["mass"], origin=READER, each_mass=True) for one in (label, grown)]
    first, second = ([one.get("TrackingUID") for one in seg.SegmentSequence] for seg in segs)
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False, True, True]  # kidney, 1, 2, cyst


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian's dicom3tools) is not installed")
@pytest.mark.parametrize("origin", [READER, PROPOSED])
def test_dciodvfy_finds_no_error(tmp_path: Path, origin: Origin) -> None:
    written(origin)[2].save_as(tmp_path / "sr.dcm", write_like_original=False)
    done = subprocess.run(["dciodvfy", tmp_path / "sr.dcm"], capture_output=True, text=True, check=False)
    assert "ComprehensiveSR" in done.stderr
    assert "Error" not in done.stderr + done.stdout
