"""Labels as DICOM SEG: exact voxels per SOP instance in every orientation, and what is said of each segment."""

import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from lib.domain.errors import BadDicomError, BadLabelError, BadRequestError, GeometryError
from lib.domain.structures import CYST, KIDNEY, MASS, STRUCTURE_NAMES
from lib.imaging.geometry import check_same_grid
from lib.imaging.volume import Volume, read_volume, write_volume
from lib.ingest.dicom_convert import convert
from lib.ingest.dicom_origin import Origin
from lib.ingest.dicom_planes import lay_on, planes_of
from lib.ingest.dicom_series import stacks_of
from lib.ingest.dicom_slices import scan_files
from lib.ingest.dicomseg import write_seg
from lib.ingest.dicomseg_read import read_seg
from lib.phantom.dicom import save_series
from tests.ingest.examination import case_of, dynamic, enhanced, series
from tests.ingest.series_planes import ORIENTATIONS, drawing_of, planes_in, turned, volume_on

MADE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
READER = Origin(made=MADE, reader="reader-7")
CORRECTED = Origin(made=MADE, reader="reader-7", model="segment_CP", model_version="CP-2")
PROPOSED = Origin(made=MADE, model="segment_CP", model_version="CP-2")
REAL = Path(__file__).parents[3] / "shared" / "data" / "dicom"


def on_disc(dataset: Dataset) -> Dataset:
    """The object as it comes back from a file."""
    file = BytesIO()
    dataset.save_as(file, write_like_original=False)
    file.seek(0)
    return pydicom.dcmread(file)


def pixels_by_image(seg: Dataset) -> dict[str, NDArray[np.uint8]]:
    """Segment numbers per SOP instance that the frames refer to, with nothing of ours in between."""
    found: dict[str, NDArray[np.uint8]] = {}
    for groups, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        uid = str(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found.setdefault(uid, np.zeros(pixels.shape, np.uint8))[pixels > 0] = number
    return found


def drawn_on(images: list[Dataset], change: Callable[[NDArray[np.uint8]], None] | None = None) -> Volume:
    """An empty label on a series, changed if wanted; axes (column, row, plane)."""
    grid = planes_of(images).grid
    data = np.zeros(grid.shape, np.uint8)
    if change:
        change(data)
    return Volume(data=data, affine=grid.affine)


def two_masses(data: NDArray[np.uint8]) -> None:
    """Two kidneys, the larger mass on the patient's left (LPS: at the high columns), a cyst on the right."""
    data[3:7, 8:14, 1:7] = KIDNEY
    data[24:29, 8:14, 1:7] = KIDNEY
    data[4:6, 9:11, 3] = MASS
    data[26:28, 9:12, 3:5] = MASS
    data[5, 13, 5] = CYST


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("turn", [False, True])
def test_every_voxel_reaches_the_image_that_it_was_drawn_on(name: str, turn: bool) -> None:
    images = planes_in(name)
    drawing = drawing_of(images)
    label = volume_on(images, name, drawing)
    label = turned(label) if turn else label
    seg = on_disc(write_seg(label, images, drawn=STRUCTURE_NAMES, origin=READER))
    found = pixels_by_image(seg)
    assert set(found) == set(drawing)
    for uid, pixels in drawing.items():
        np.testing.assert_array_equal(found[uid], pixels)
    position = {str(image.SOPInstanceUID): image.ImagePositionPatient for image in images}
    for groups in seg.PerFrameFunctionalGroupsSequence:
        uid = str(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        assert groups.PlanePositionSequence[0].ImagePositionPatient == position[uid]
    back = read_seg(seg, images)
    np.testing.assert_array_equal(lay_on(back.label, label).data, label.data)
    assert (back.drawn, back.overlaps) == (set(STRUCTURE_NAMES), 0)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_label_drawn_on_the_converted_image_goes_to_dicom_and_back(tmp_path: Path, name: str) -> None:
    images = planes_in(name)
    save_series(images, tmp_path / "in")
    scan = scan_files(sorted((tmp_path / "in").iterdir()), lambda *_: None)
    (stack,) = stacks_of(scan.slices)
    image = convert(stack).volume
    write_volume(image, tmp_path / "image.nii.gz")
    shown = read_volume(tmp_path / "image.nii.gz")
    threshold = np.digitize(shown.data, (600, 700, 800)).astype(np.uint8)  # a label that the pixels prove
    label = Volume(data=threshold, affine=shown.affine)
    seg = on_disc(write_seg(label, images, drawn=STRUCTURE_NAMES, origin=READER))
    for uid, pixels in pixels_by_image(seg).items():
        (source,) = [one for one in images if one.SOPInstanceUID == uid]
        np.testing.assert_array_equal(pixels, np.digitize(source.pixel_array, (600, 700, 800)))
    back = lay_on(read_seg(seg, images).label, shown)
    np.testing.assert_array_equal(back.data, label.data)
    check_same_grid(back, shown)


@pytest.mark.parametrize("vendor", ["GE", "Siemens", "Philips"])
@pytest.mark.parametrize("patient", [0, 5])  # the second is tilted
def test_a_phantoms_label_goes_to_its_slices_and_back(vendor: str, patient: int) -> None:
    images, label = series("CP", patient, vendor=vendor), case_of("CP", patient, vendor).label
    assert label.data.any()
    back = read_seg(on_disc(write_seg(label, images, drawn=STRUCTURE_NAMES, origin=READER)), images)
    np.testing.assert_array_equal(lay_on(back.label, label).data, label.data)


def test_an_enhanced_image_is_referred_to_by_frame() -> None:
    images = series("CP")
    image, label = enhanced(images[::-1]), case_of("CP").label
    seg = on_disc(write_seg(label, [image], drawn=STRUCTURE_NAMES, origin=READER, each_mass=True))
    source = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    place = image.PerFrameFunctionalGroupsSequence[source.ReferencedFrameNumber - 1].PlanePositionSequence[0]
    own = seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    assert own.ImagePositionPatient == place.ImagePositionPatient
    np.testing.assert_array_equal(lay_on(read_seg(seg, [image]).label, label).data, label.data)


@pytest.mark.parametrize("drawn", [["mass"], ["kidney", "mass", "cyst"]])
def test_an_empty_label_has_frames_and_comes_back_empty(drawn: list[str]) -> None:
    images = planes_in("coronal")
    empty = drawn_on(images)
    seg = on_disc(write_seg(empty, images, drawn=drawn, origin=READER))
    assert seg.NumberOfFrames == len(drawn) * len(images)
    back = read_seg(seg, images)
    assert (back.drawn, back.label.data.any()) == (set(drawn), False)


def test_a_structure_that_was_looked_for_in_vain_has_frames_too() -> None:
    images = planes_in("sagittal")
    label = drawn_on(images, lambda data: data.__setitem__((2, 3, 4), KIDNEY))
    seg = on_disc(write_seg(label, images, drawn=["kidney", "mass"], origin=READER))
    frames = [groups.SegmentIdentificationSequence[0] for groups in seg.PerFrameFunctionalGroupsSequence]
    assert sorted(frame.ReferencedSegmentNumber for frame in frames) == [1] * len(images) + [2] * len(images)
    assert read_seg(seg, images).drawn == {"kidney", "mass"}
    kidney_only = write_seg(label, images, drawn=["kidney"], origin=READER)
    assert kidney_only.NumberOfFrames == 1


def test_segments_are_named_coded_coloured_and_sided() -> None:
    images = series("CP")
    seg = on_disc(write_seg(drawn_on(images, two_masses), images, drawn=STRUCTURE_NAMES, origin=READER))
    kidney, mass, cyst = seg.SegmentSequence
    assert [one.SegmentLabel for one in seg.SegmentSequence] == ["Kidney", "Renal mass", "Renal cyst"]
    assert [one.SegmentedPropertyTypeCodeSequence[0].CodeValue for one in seg.SegmentSequence] == [
        "64033007", "4147007", "367643001",
    ]  # fmt: skip
    assert [one.AnatomicRegionSequence[0].CodeValue for one in (mass, cyst)] == ["64033007"] * 2
    assert "AnatomicRegionSequence" not in kidney
    for one, side in ((mass, "51440002"), (cyst, "24028007")):
        kind, region = one.SegmentedPropertyTypeCodeSequence[0], one.AnatomicRegionSequence[0]
        assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == side
        assert region.AnatomicRegionModifierSequence[0].CodeValue == side
    assert mass.RecommendedDisplayCIELabValue == [33410, 50886, 43176]  # L* 51, a* 70, b* 40: red


def test_each_mass_becomes_a_segment_with_its_side_largest_first() -> None:
    images = series("CP")
    label = drawn_on(images, two_masses)
    seg = on_disc(write_seg(label, images, drawn=["mass"], origin=READER, each_mass=True))
    masses = [one for one in seg.SegmentSequence if one.SegmentLabel.startswith("Renal mass")]
    assert [one.SegmentLabel for one in masses] == ["Renal mass 1", "Renal mass 2"]
    kinds = [one.SegmentedPropertyTypeCodeSequence[0] for one in masses]
    assert [kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning for kind in kinds] == ["Left", "Right"]
    assert len({one.TrackingUID for one in masses}) == 2
    np.testing.assert_array_equal(lay_on(read_seg(seg, images).label, label).data, label.data)


@pytest.mark.parametrize(
    ("origin", "kind", "version"),
    [(READER, "MANUAL", None), (CORRECTED, "SEMIAUTOMATIC", "CP-2"), (PROPOSED, "AUTOMATIC", "CP-2")],
)
def test_a_segment_tells_who_made_it(origin: Origin, kind: str, version: str | None) -> None:
    images = planes_in("coronal")
    seg = on_disc(write_seg(drawn_on(images), images, drawn=["mass"], origin=origin))
    (segment,) = seg.SegmentSequence
    assert segment.SegmentAlgorithmType == kind
    identification = segment.get("SegmentationAlgorithmIdentificationSequence")
    assert (identification[0].AlgorithmVersion if identification else None) == version
    assert str(seg.ContentCreatorName or "") == ("reader-7^" if origin.reader else "")
    assert (seg.ContentDate, seg.ContentTime) == ("20260304", "050607.000000")


@pytest.mark.parametrize(
    "wrong", [{}, {"reader": "Dr Jorid Beispiel"}, {"reader": "Beispiel^Jorid"}, {"model_version": "CP\\2"}]
)
def test_an_origin_that_is_nobody_or_a_name_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(BadRequestError) as refused:
        Origin(made=MADE, **wrong)
    assert "Beispiel" not in str(refused.value)


def test_the_object_belongs_to_the_patient_whatever_the_letters() -> None:
    images = planes_in("axial ascending", person="Müßig^Jörg")
    seg = on_disc(write_seg(drawn_on(images), images, drawn=["mass"], origin=READER))
    assert (str(seg.PatientName), seg.PatientID, seg.StudyInstanceUID) == ("Müßig^Jörg", "ID7", "1.2.3.5")
    assert (seg.PatientSex, seg.AccessionNumber) == ("", "")  # demanded, and not in the series


def test_nobody_and_no_uid_is_warned_of_or_logged(
    recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    images = planes_in("coronal", person="Quirina")  # highdicom warns of a name of one word, and quotes it
    write_seg(drawn_on(images), images, drawn=["mass"], origin=READER)
    assert not list(recwarn)
    assert not caplog.records


def test_the_same_label_gives_the_same_bytes_and_another_one_another_uid() -> None:
    images = planes_in("oblique")
    labels = [volume_on(images, "oblique", drawing_of(images, seed)) for seed in (0, 0, 1)]
    files = [write_seg(label, images, drawn=STRUCTURE_NAMES, origin=READER) for label in labels]
    first, again, other = (on_disc(file) for file in files)
    assert first == again
    assert first.SOPInstanceUID != other.SOPInstanceUID


def test_the_series_stays_as_it_was() -> None:
    images = planes_in("coronal")
    for image in images:
        image.SliceThickness = None
    before = deepcopy(images)
    seg = write_seg(drawn_on(images), images, drawn=["mass"], origin=READER)
    assert images == before
    assert seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness == 3.5


def test_a_label_elsewhere_is_refused() -> None:
    images = planes_in("oblique")
    label = volume_on(images, "oblique", drawing_of(images))
    shifted = label.affine.copy()
    shifted[0, 3] += 1.0
    for affine in (shifted, label.affine @ np.diag([2.0, 1, 1, 1]), planes_of(planes_in("coronal")).grid.affine):
        with pytest.raises(GeometryError):
            write_seg(Volume(data=label.data, affine=affine), images, drawn=["mass"], origin=READER)
    with pytest.raises(GeometryError):
        write_seg(Volume(data=label.data[:, :, 1:], affine=label.affine), images, drawn=["mass"], origin=READER)


@pytest.mark.parametrize(("value", "drawn"), [(4, ["mass"]), (0, [])])
def test_a_label_that_means_nothing_is_refused(value: int, drawn: list[str]) -> None:
    images = planes_in("coronal")
    label = drawn_on(images, lambda data: data.fill(value))
    with pytest.raises(BadLabelError):
        write_seg(label, images, drawn=drawn, origin=READER)


def without_frame(images: list[Dataset]) -> list[Dataset]:
    for image in images:
        del image.FrameOfReferenceUID
    return images


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (planes_in("coronal", shuffle=False)[:3] + planes_in("coronal", shuffle=False)[4:], "1 slice is missing"),
        (dynamic("CP", "NP"), "2 volumes"),
        (planes_in("coronal") + planes_in("sagittal"), "2 series"),
        (without_frame(planes_in("coronal")), "0 frames of reference"),
        (planes_in("coronal") * 2, "share one SOP instance UID"),
        ([], "0 series"),
    ],
)
def test_images_that_are_not_one_volume_are_refused(images: list[Dataset], reason: str) -> None:
    label = drawn_on(planes_in("coronal"))
    with pytest.raises(BadDicomError, match=reason):
        write_seg(label, images, drawn=["mass"], origin=READER)


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian's dicom3tools) is not installed")
@pytest.mark.parametrize("origin", [READER, PROPOSED])
def test_dciodvfy_finds_no_error(tmp_path: Path, origin: Origin) -> None:
    images = series("CP")
    seg = write_seg(drawn_on(images, two_masses), images, drawn=STRUCTURE_NAMES, origin=origin, each_mass=True)
    seg.save_as(tmp_path / "seg.dcm", write_like_original=False)
    done = subprocess.run(["dciodvfy", tmp_path / "seg.dcm"], capture_output=True, text=True, check=False)
    assert "Error" not in done.stderr + done.stdout


@pytest.mark.skipif(not REAL.is_dir(), reason="no folder of real DICOM beside the repository")
@pytest.mark.parametrize("file", ["ge/axial_epi_fmri_interleaved_i_to_s-00001.dcm", "uih/00000001.dcm"])
def test_a_series_with_a_real_header_is_taken(file: str) -> None:
    first = pydicom.dcmread(REAL / file, stop_before_pixels=True)
    normal = np.cross(*np.reshape(np.array(first.ImageOrientationPatient, float), (2, 3)))
    images = []
    for number in range(6):
        image = deepcopy(first)
        image.SOPInstanceUID, image.InstanceNumber = f"1.2.3.{number + 1}", number + 1
        image.ImagePositionPatient = [
            round(float(start) + 4.0 * number * step, 6)
            for start, step in zip(first.ImagePositionPatient, normal, strict=True)
        ]
        images.append(image)
    label = drawn_on(images, lambda data: data.__setitem__((slice(3, 9), slice(4, 6), 2), MASS))
    back = read_seg(on_disc(write_seg(label, images, drawn=["mass"], origin=READER)), images)
    np.testing.assert_array_equal(back.label.data, label.data)
