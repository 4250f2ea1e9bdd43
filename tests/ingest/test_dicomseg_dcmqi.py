"""SEGs that dcmqi really wrote, the program by which 3D Slicer stores segmentations."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from lib.domain.errors import BadDicomError
from lib.domain.structures import STRUCTURES
from lib.imaging.volume import Volume, write_volume
from lib.ingest.dicomseg_read import read_seg
from tests.ingest.series_planes import ORIENTATIONS, drawing_of, planes_in, volume_on

WRITE = shutil.which("itkimage2segimage", path=str(Path(sys.executable).parent))
pytestmark = pytest.mark.skipif(WRITE is None, reason="dcmqi is not installed (PyPI: dcmqi)")
ANATOMY = {"CodeValue": "85756007", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Tissue"}
CATEGORY = {"CodeValue": "91723000", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Anatomical structure"}
Written = Callable[..., Dataset]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Let dcmqi write a label of a series: ``written(images, volume)``."""

    def write(images: list[Dataset], volume: Volume, *options: str) -> Dataset:
        folder = tmp_path / "series"
        folder.mkdir()
        for number, image in enumerate(images):
            image.PatientSex, image.StudyDate, image.StudyTime, image.StudyID = "O", "20250101", "101010", "1"
            image.AccessionNumber = image.ReferringPhysicianName = ""
            pydicom.dcmwrite(folder / f"{number}.dcm", image, write_like_original=False)
        write_volume(volume, tmp_path / "label.nii.gz")
        segments = [
            {
                "labelID": structure.value,
                "SegmentDescription": structure.name,
                "SegmentLabel": structure.name,
                "SegmentAlgorithmType": "MANUAL",
                "SegmentedPropertyCategoryCodeSequence": CATEGORY,
                "SegmentedPropertyTypeCodeSequence": ANATOMY,
                "recommendedDisplayRGBValue": [128, 174, 128],
            }
            for structure in STRUCTURES.values()
        ]
        about = {
            "ContentCreatorName": "Reader",
            "SeriesDescription": "Segmentation",
            "SeriesNumber": "300",
            "InstanceNumber": "1",
            "BodyPartExamined": "KIDNEY",
            "segmentAttributes": [segments],
        }
        (tmp_path / "about.json").write_text(json.dumps(about))
        command = [
            str(WRITE), "--inputImageList", str(tmp_path / "label.nii.gz"), "--inputDICOMDirectory", str(folder),
            "--inputMetadata", str(tmp_path / "about.json"), "--outputDICOM", str(tmp_path / "seg.dcm"), *options,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return pydicom.dcmread(tmp_path / "seg.dcm")

    return write


def same_places(found: Volume, expected: Volume) -> np.ndarray:
    """Pixels of what was read, its planes in the order of what was written."""
    along = np.sign(found.affine[:3, 2] @ expected.affine[:3, 2])
    return found.data[:, :, :: int(along)]


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("options", [(), ("--skip", "0"), ("--segmentationType", "labelmap")], ids=["", "all", "map"])
def test_what_slicer_stores_is_read_voxel_by_voxel(name: str, options: tuple[str, ...], written: Written) -> None:
    images = planes_in(name)
    expected = volume_on(images, name, drawing_of(images))
    found = read_seg(written(images, expected, *options), images)
    np.testing.assert_array_equal(same_places(found.label, expected), expected.data)
    assert found.drawn == set(STRUCTURES)


def test_a_label_that_slicer_placed_beside_the_series_is_refused(written: Written) -> None:
    images = planes_in("axial ascending")
    expected = volume_on(images, "axial ascending", drawing_of(images))
    affine = expected.affine.copy()
    affine[2, 3] += 1.2  # between two slices
    with pytest.raises(BadDicomError):
        read_seg(written(images, Volume(data=expected.data, affine=affine), "--referencesGeometryCheck", "0"), images)
