"""Phantom DICOM: valid, reproducible, and dcm2niix gives the phantom back from it."""

import subprocess
from pathlib import Path

import dcm2niix
import nibabel as nib
import numpy as np
import pydicom
import pytest

from lib.domain.errors import BadCohortError
from lib.domain.sequences import SEQUENCES
from lib.imaging.geometry import to_canonical
from lib.imaging.volume import Volume
from lib.phantom.cohort import SMALL_SIZE, make_case
from lib.phantom.dicom import generate_dicom, make_identity, save_series, series_datasets, series_number

VENDORS = ("GE", "Siemens", "Philips", "Canon", "UIH")


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("patient", [0, 5])  # the second is tilted
def test_dcm2niix_gives_back_voxels_and_affine(tmp_path: Path, vendor: str, patient: int) -> None:
    case = make_case(1, patient, "NP", vendors=[vendor], size=SMALL_SIZE)
    save_series(series_datasets(case, make_identity(1, patient, case)), tmp_path / "in")
    command = [dcm2niix.bin, "-g", "i", "-z", "n", "-f", "out", "-o", str(tmp_path), str(tmp_path / "in")]
    subprocess.run(command, check=True, capture_output=True)
    converted = nib.load(tmp_path / "out.nii")
    found = to_canonical(Volume(data=np.asanyarray(converted.dataobj), affine=converted.affine))
    expected = to_canonical(case.image)
    np.testing.assert_array_equal(found.data, expected.data)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-3)


def test_the_same_call_writes_the_same_bytes(tmp_path: Path) -> None:
    counts = [generate_dicom(tmp_path / name, patients=1, seed=4, sequences=["CP"], size=SMALL_SIZE) for name in "ab"]
    assert counts == [3 + SMALL_SIZE.matrix[2]] * 2
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.dcm"))
    assert [path.name for path in files[:4]] == ["IM00001.dcm", "IM00002.dcm", "IM00003.dcm", "IM00001.dcm"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_series_of_one_patient_share_study_and_person_and_no_uid() -> None:
    cases = [make_case(0, 0, code, size=SMALL_SIZE) for code in SEQUENCES]
    identity = make_identity(0, 0, cases[0])
    slices = [dataset for case in cases for dataset in series_datasets(case, identity)]
    assert len({dataset.StudyInstanceUID for dataset in slices}) == 1
    assert {str(dataset.PatientName) for dataset in slices} == {identity.name}
    assert len({dataset.SeriesInstanceUID for dataset in slices}) == len(SEQUENCES)
    assert len({dataset.SOPInstanceUID for dataset in slices}) == len(slices)


def test_phases_follow_the_injection_in_order() -> None:
    starts = {}
    for code in SEQUENCES:
        case = make_case(0, 0, code, size=SMALL_SIZE)
        dataset = series_datasets(case, make_identity(0, 0, case))[0]
        starts[code] = float(dataset.AcquisitionTime)
        assert ("ContrastBolusStartTime" in dataset) == (SEQUENCES[code].delay_s is not None)
        if SEQUENCES[code].delay_s:
            assert float(dataset.ContrastBolusStartTime) < starts[code]
    order = sorted(SEQUENCES, key=starts.__getitem__)
    assert order[-3:] == ["CP", "NP", "DP"]
    assert order == sorted(SEQUENCES, key=series_number)


def test_every_file_reads_back_with_its_pixels(tmp_path: Path) -> None:
    case = make_case(0, 1, "T2WI", size=SMALL_SIZE)
    paths = save_series(series_datasets(case, make_identity(0, 1, case)), tmp_path)
    read = np.stack([pydicom.dcmread(path).pixel_array.T for path in paths], axis=-1)
    np.testing.assert_array_equal(read, case.image.data)


def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadCohortError, match="not empty"):
        generate_dicom(tmp_path, patients=1, seed=0, size=SMALL_SIZE)
