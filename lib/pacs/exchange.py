"""Labels to the PACS as SEG and SR, and the SEGs that other software stored there as labels."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from lib.domain.drawn import DRAWN
from lib.domain.errors import BadDicomError, BadLabelError
from lib.domain.records import LabelVersion
from lib.imaging.volume import write_volume
from lib.ingest.dicom_origin import APP, AUTOMATIC
from lib.ingest.dicom_planes import lay_on
from lib.ingest.dicomseg_read import read_seg
from lib.ingest.export import label_objects
from lib.ingest.pseudonym import Pseudonyms
from lib.pacs.archive import Archive
from lib.pacs.planes import ImagePlanes
from lib.store.cohort import FINAL, CohortStore


def store_label(
    archive: Archive, label: LabelVersion, code: str, planes: ImagePlanes, names: Pseudonyms
) -> dict[str, str]:
    """Store a label as SEG, and as SR where there is a mass; the same label again is the same objects.

    Args:
        archive: Where to.
        label: What.
        code: Of the image's sequence.
        planes: Where the image comes from.
        names: What the reader's name becomes.

    Returns:
        SOP instance UIDs by kind (``seg``, ``sr``).

    Raises:
        ArchiveError: When the PACS fails or refuses.
        RenalError: When no SEG can be made.
    """
    objects = label_objects(label, code, series_headers(archive, planes), names)
    archive.store(list(objects.values()))
    return {kind: str(written.SOPInstanceUID) for kind, written in objects.items()}


def series_headers(archive: Archive, planes: ImagePlanes) -> list[Dataset]:
    """Headers of the images that an image of the cohort was made from, as the PACS has them now.

    Raises:
        BadDicomError: When it has not all of them any more.
        ArchiveError: When it fails.
    """
    headers = archive.headers(planes.study_uid, planes.series_uid)
    found = [one for one in headers if str(one.get("SOPInstanceUID", "")) in planes.sop_uids]
    if len(found) != len(planes.sop_uids):
        msg = f"the PACS has {len(found)} of the {len(planes.sop_uids)} images that it was made from; expected all"
        raise BadDicomError(msg)
    return found


def series_of(segmentation: Dataset) -> set[str]:
    """UIDs of the series that a SEG says it was drawn on."""
    return {str(item.get("SeriesInstanceUID", "")) for item in segmentation.get("ReferencedSeriesSequence") or []}


def image_of(segmentation: Dataset, images: Sequence[ImagePlanes]) -> ImagePlanes:
    """Of the images that its series became, the one that a SEG was drawn on.

    Raises:
        BadDicomError: When it names images of several, or does not say which.
    """
    named = {
        str(item.get("ReferencedSOPInstanceUID", ""))
        for series in segmentation.get("ReferencedSeriesSequence") or []
        for item in series.get("ReferencedInstanceSequence") or []
    }
    found = [one for one in images if named & one.sop_uids] if named else list(images)
    if len(found) != 1:
        msg = f"it refers to {len(found)} of the {len(images)} images that its series became; expected one"
        raise BadDicomError(msg)
    return found[0]


def take_segmentation(
    archive: Archive, segmentation: Dataset, planes: ImagePlanes, store: CohortStore, names: Pseudonyms
) -> LabelVersion:
    """Take a SEG as the label of an image that counts from now on.

    Raises:
        BadDicomError: When it does not prove to lie on the image; the reason says what contradicts.
        BadLabelError: When its segments are none of ours, or no reader had a hand in it.
        ArchiveError: When the PACS fails.
    """
    kinds = {str(item.get("SegmentAlgorithmType", "")) for item in segmentation.get("SegmentSequence") or []}
    if kinds == {AUTOMATIC}:
        msg = "an algorithm alone made it; expected one that a reader drew or corrected"
        raise BadLabelError(msg)
    read = read_seg(segmentation, series_headers(archive, planes))
    if not read.drawn:
        msg = "none of its segments is a kidney, mass or cyst by code and name; expected one at least"
        raise BadLabelError(msg)
    label = lay_on(read.label, store.grid(planes.image_id))
    with tempfile.TemporaryDirectory(prefix="renal-loop-") as folder:
        file = Path(folder, "label.nii.gz")
        write_volume(label, file)
        return store.save_label(planes.image_id, file, FINAL, _told(segmentation, read.drawn, names))


def _told(segmentation: Dataset, drawn: frozenset[str], names: Pseudonyms) -> dict[str, Any]:
    """What is known of it; a reader's name becomes a pseudonym, unless it is one of ours already."""
    creator = str(segmentation.get("ContentCreatorName", "") or "")
    ours = segmentation.get("Manufacturer") == APP
    author = creator.rstrip("^") if ours else names.reader(creator) if creator else "PACS"
    told: dict[str, Any] = {DRAWN: sorted(drawn), "author": author or "PACS", "from": "PACS"}
    versions = {
        str(algorithm.get("AlgorithmVersion", ""))
        for item in segmentation.SegmentSequence
        for algorithm in item.get("SegmentationAlgorithmIdentificationSequence") or []
    }
    return {**told, "model_version": versions.pop()} if ours and len(versions) == 1 else told
