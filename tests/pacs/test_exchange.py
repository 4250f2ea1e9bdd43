"""Labels to a real PACS and back, voxel by voxel per SOP instance; others' SEGs are taken only if they prove to fit."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
from numpy.typing import NDArray

from lib.domain.structures import CYST, KIDNEY, MASS
from lib.imaging.volume import Volume, write_volume
from lib.ingest.dicom_origin import Origin
from lib.ingest.dicom_planes import planes_of
from lib.ingest.dicomseg import write_seg
from lib.pacs.mirror import MirrorRule, PacsMirror
from lib.pacs.planes import label_of, slices_of
from lib.store.cohort import CohortStore
from tests.ingest.examination import dynamic, series
from tests.orthanc import Orthanc, needs_orthanc

pytestmark = [needs_orthanc, pytest.mark.slow]
READER = Origin(made=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), reader="reader-7")


def drawing(slices: list[pydicom.Dataset]) -> dict[str, NDArray[np.uint8]]:
    """Pixels to draw on each image: another pattern on each, not symmetric, so that no flip looks right."""
    found = {}
    for number, one in enumerate(slices):
        pixels = np.zeros((one.Rows, one.Columns), np.uint8)
        pixels[3 : 9 + number, 2:9] = KIDNEY
        pixels[5:7, 4 + number % 3 : 7] = MASS
        pixels[8 + number, 3] = CYST
        found[str(one.SOPInstanceUID)] = pixels
    return found


def in_pacs(pacs: Orthanc, modality: str) -> list[pydicom.Dataset]:
    """The objects of a modality as files, over Orthanc's own API."""
    found = requests.post(
        f"{pacs.root}/tools/find",
        json={"Level": "Instance", "Query": {"Modality": modality}},
        auth=pacs.auth,
        timeout=30,
    ).json()
    files = [requests.get(f"{pacs.root}/instances/{one}/file", auth=pacs.auth, timeout=30).content for one in found]
    return [pydicom.dcmread(pydicom.filebase.DicomBytesIO(file)) for file in files]


def pixels_by_image(seg: pydicom.Dataset) -> dict[str, NDArray[np.uint8]]:
    """Structure values per SOP instance, by segment label, with nothing of ours in between."""
    value = {"Kidney": KIDNEY, "Renal cyst": CYST}
    of_segment = {int(one.SegmentNumber): value.get(one.SegmentLabel, MASS) for one in seg.SegmentSequence}
    found: dict[str, NDArray[np.uint8]] = {}
    for groups, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        uid = str(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        found.setdefault(uid, np.zeros(pixels.shape, np.uint8))[pixels > 0] = of_segment[number]
    return found


def submit(store: CohortStore, mirror: PacsMirror, image_id: str, slices: dict, folder: Path, **told: object) -> None:
    label = label_of(slices, mirror.planes.find(image_id), store.grid(image_id))
    write_volume(label, folder / "label.nii.gz")
    store.save_label(image_id, folder / "label.nii.gz", info=told)


def label_slices(store: CohortStore, mirror: PacsMirror, image_id: str) -> dict[str, NDArray[np.uint8]]:
    import nibabel as nib

    image = nib.load(store.label(image_id).path)
    label = Volume(data=np.asarray(image.dataobj), affine=image.affine)
    return slices_of(label, mirror.planes.find(image_id))


def segmentation(slices: list[pydicom.Dataset], drawn: dict[str, NDArray[np.uint8]], **more: object) -> pydicom.Dataset:
    """A SEG as other software stores it: made on the series alone."""
    planes = planes_of(slices)
    data = np.zeros(planes.grid.shape, np.uint8)
    for number, one in enumerate(planes.slices):
        data[:, :, number] = drawn[one.sop_uid].T
    label = Volume(data=data, affine=planes.grid.affine)
    seg = write_seg(label, slices, drawn=["kidney", "mass", "cyst"], origin=READER, **more)
    seg.Manufacturer = "Other"
    return seg


def test_a_submitted_label_is_stored_voxel_by_voxel_and_measured(
    pacs: Orthanc, mirror_of: Callable, tmp_path: Path
) -> None:
    slices = series("CP")
    pacs.keep(slices)
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    (image_id,) = store.image_ids()
    submit(store, mirror, image_id, drawing(slices), tmp_path, author="Dr. Anna Musterfrau")
    mirror.round(store)
    (seg,) = in_pacs(pacs, "SEG")
    for uid, pixels in drawing(slices).items():
        np.testing.assert_array_equal(pixels_by_image(seg)[uid], pixels)
    assert seg.PatientID == slices[0].PatientID
    assert "Musterfrau" not in str(seg)
    (report,) = in_pacs(pacs, "SR")
    assert "Volume" in str(report)
    assert mirror.status()["labels_stored"] == 1
    mirror.round(store)  # our own SEG is no news
    assert len(in_pacs(pacs, "SEG")) == 1
    assert [one.number for one in store.versions(image_id)] == [1]


def test_an_empty_label_is_stored_as_a_statement(pacs: Orthanc, mirror_of: Callable, tmp_path: Path) -> None:
    pacs.keep(series("CP"))
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    (image_id,) = store.image_ids()
    submit(store, mirror, image_id, {}, tmp_path, structures=["mass"])
    mirror.round(store)
    (seg,) = in_pacs(pacs, "SEG")
    assert [one.SegmentLabel for one in seg.SegmentSequence] == ["Renal mass"]
    assert not seg.pixel_array.any()
    assert in_pacs(pacs, "SR") == []


def test_a_label_of_one_phase_refers_to_the_images_of_that_phase(
    pacs: Orthanc, mirror_of: Callable, tmp_path: Path
) -> None:
    both = dynamic("CP", "NP")
    pacs.keep(both)
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    late = next(one for one in store.image_ids() if one.endswith("_NP"))
    drawn = drawing(both[8:])
    submit(store, mirror, late, drawn, tmp_path)
    mirror.round(store)
    (seg,) = in_pacs(pacs, "SEG")
    assert set(pixels_by_image(seg)) == set(drawn)
    copy = deepcopy(seg)  # another hand stores the same again: it is taken for that phase alone
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = f"{seg.SOPInstanceUID[:-4]}9"
    copy.SeriesInstanceUID = f"{seg.SeriesInstanceUID[:-4]}9"
    pacs.keep([copy])
    mirror.round(store)
    assert len(store.versions(late)) == 2
    assert len(store.labelled_ids()) == 1


def test_a_label_waits_for_a_pacs_that_is_down_and_says_so(pacs: Orthanc, mirror_of: Callable, tmp_path: Path) -> None:
    pacs.keep(series("CP"))
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    (image_id,) = store.image_ids()
    pacs.stop()
    submit(store, mirror, image_id, drawing(series("CP")), tmp_path)
    with pytest.raises(Exception, match="cannot be reached"):
        mirror.round(store)
    (waiting,) = mirror.status()["labels_waiting"]
    assert waiting["image"] == image_id
    assert "cannot be reached" in waiting["why"]
    pacs.start()
    mirror.round(store)
    assert mirror.status()["labels_waiting"] == []
    assert len(in_pacs(pacs, "SEG")) == 1


def test_labels_stay_here_where_a_site_says_so(pacs: Orthanc, mirror_of: Callable, tmp_path: Path) -> None:
    pacs.keep(series("CP"))
    mirror, store = mirror_of(pacs.url, rule=MirrorRule(settle_s=0, store="off"))
    mirror.round(store)
    submit(store, mirror, store.image_ids()[0], drawing(series("CP")), tmp_path)
    mirror.round(store)
    assert in_pacs(pacs, "SEG") == []


def test_a_seg_of_other_software_becomes_the_label_that_counts(pacs: Orthanc, mirror_of: Callable) -> None:
    slices = series("CP")
    pacs.keep([segmentation(slices, drawing(slices))])  # it may come before its series
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    assert mirror.status()["segmentations_elsewhere"] == 1
    pacs.keep(slices)
    mirror.round(store)
    (image_id,) = store.labelled_ids()
    found = label_slices(store, mirror, image_id)
    for uid, pixels in drawing(slices).items():
        np.testing.assert_array_equal(found[uid], pixels)
    label = store.label(image_id)
    assert label.structures == {"kidney", "mass", "cyst"}
    assert label.author.startswith("R")
    assert label.author != "reader-7"
    mirror.round(store)
    assert len(store.versions(image_id)) == 1
    assert len(in_pacs(pacs, "SEG")) == 1  # it is not stored a second time as ours
    assert mirror.status()["segmentations_taken"] == 1


def mirrored(seg: pydicom.Dataset) -> None:
    for groups in seg.SharedFunctionalGroupsSequence:
        cosines = [float(value) for value in groups.PlaneOrientationSequence[0].ImageOrientationPatient]
        groups.PlaneOrientationSequence[0].ImageOrientationPatient = [-value for value in cosines[:3]] + cosines[3:]


def upside_down(seg: pydicom.Dataset) -> None:
    images = [groups.DerivationImageSequence for groups in seg.PerFrameFunctionalGroupsSequence]
    count = len(images) // len(seg.SegmentSequence)
    for number, groups in enumerate(seg.PerFrameFunctionalGroupsSequence):
        first = number // count * count
        groups.DerivationImageSequence = images[first + count - 1 - number % count]


def by_an_algorithm(seg: pydicom.Dataset) -> None:
    for item in seg.SegmentSequence:
        item.SegmentAlgorithmType, item.SegmentAlgorithmName = "AUTOMATIC", "x"


def of_something_else(seg: pydicom.Dataset) -> None:
    for item in seg.SegmentSequence:
        item.pop("AnatomicRegionSequence", None)
        item.SegmentLabel = "Liver"
        item.SegmentedPropertyTypeCodeSequence[0].CodeValue = "10200004"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (mirrored, "mirrored left to right"),
        (upside_down, "it is flipped"),
        (by_an_algorithm, "an algorithm alone made it"),
        (of_something_else, "none of kidney, mass, cyst"),
    ],
)
def test_a_seg_that_does_not_fit_is_refused_with_the_reason(
    pacs: Orthanc, mirror_of: Callable, change: Callable, reason: str
) -> None:
    slices = series("CP")
    pacs.keep(slices)
    seg = segmentation(slices, drawing(slices))
    change(seg)
    pacs.keep([seg])
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    (refused,) = mirror.status()["segmentations_refused"]
    assert reason in refused["why"]
    assert refused["image"] == store.image_ids()[0]
    assert store.labelled_ids() == []


def test_labels_come_back_from_the_pacs_to_a_server_that_lost_its_own(
    pacs: Orthanc, mirror_of: Callable, tmp_path: Path
) -> None:
    slices = series("CP")
    pacs.keep(slices)
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    (image_id,) = store.image_ids()
    submit(store, mirror, image_id, drawing(slices), tmp_path)
    mirror.round(store)
    other, empty = mirror_of(pacs.url, "after the fire")
    other.round(empty)
    (found,) = empty.labelled_ids()
    for uid, pixels in label_slices(empty, other, found).items():
        np.testing.assert_array_equal(pixels, drawing(slices)[uid])
