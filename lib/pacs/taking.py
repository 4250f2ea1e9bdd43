"""A study of the PACS into the cohort: headers tell what each series is, pixels come for those that become images."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from lib.domain.errors import ArchiveError, BadDicomError
from lib.domain.ledger import SeriesRow
from lib.ingest.cohort_writer import CohortWriter
from lib.ingest.dicom import bring_in
from lib.ingest.dicom_files import find_files
from lib.ingest.dicom_series import Stack
from lib.ingest.dicom_slices import UNREADABLE, quiet_pydicom, scan_files
from lib.ingest.dicom_studies import candidates_of, decide
from lib.pacs.archive import Archive
from lib.pacs.planes import ImagePlanes, planes_of_stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a study.

    Attributes:
        rows: One a series, or a phase of one.
        planes: Where its images come from.
    """

    rows: tuple[SeriesRow, ...]
    planes: tuple[ImagePlanes, ...]


def take_study(
    archive: Archive, study_uid: str, series_uids: Sequence[str], cohort: CohortWriter, decided: Mapping[str, str]
) -> Taken:
    """Bring the series of a study into the cohort.

    Args:
        archive: Where they are.
        study_uid: Of the study.
        series_uids: Of all its MR series, since each is recognised among the others.
        cohort: Where they go; its ``fetch`` is set.
        decided: A person's decisions, by series key.

    Raises:
        ArchiveError: When the PACS fails; images that were written by then stay, and are found by the next try.
    """
    with tempfile.TemporaryDirectory(prefix="renal-loop-") as name:
        pixels = _Pixels(archive, study_uid)
        for number, series_uid in enumerate(series_uids):
            folder = Path(name, f"{number:04d}")
            folder.mkdir()
            for place, header in enumerate(archive.headers(study_uid, series_uid)):
                path = folder / f"{place:06d}.dcm"
                _write(header, path)
                pixels.expect(series_uid, str(header.get("SOPInstanceUID", "")), path)
        scan = scan_files(find_files(Path(name)).paths, lambda *_: None)
        candidates = decide(candidates_of(scan, cohort.names, lambda *_: None), decided)
        cohort.fetch = pixels.bring
        rows = bring_in(candidates, cohort)
        stacks = {one.series: one.stack for one in candidates}
        planes = tuple(planes_of_stack(row.image_id, stacks[row.series]) for row in rows if row.image_id)
        return Taken(rows=tuple(rows), planes=planes)


@dataclass(slots=True)
class _Pixels:
    """Puts whole images in the place of headers, a series at once and only once."""

    archive: Archive
    study_uid: str
    _missing: dict[str, dict[str, Path]] = field(default_factory=dict)

    def expect(self, series_uid: str, sop_uid: str, path: Path) -> None:
        """Note where an image is to go."""
        self._missing.setdefault(series_uid, {})[sop_uid] = path

    def bring(self, stack: Stack) -> None:
        """Fetch the series of a stack.

        Raises:
            BadDicomError: When the PACS does not give all images that it lists.
        """
        missing = self._missing.get(stack.slices[0].series_uid, {})
        if missing:
            for image in self.archive.images(self.study_uid, stack.slices[0].series_uid):
                path = missing.pop(str(image.get("SOPInstanceUID", "")), None)
                if path:
                    _write(image, path)
        lost = sum(one.sop_uid in missing for one in stack.slices)
        if lost:
            msg = f"the PACS lists {len(stack.slices)} images and does not give {lost} of them; expected all"
            raise BadDicomError(msg)


def _write(image: Dataset, path: Path) -> None:
    """Write an image as it came; one that came as headers alone gets what makes it a file.

    Raises:
        ArchiveError: When it cannot be written as DICOM.
    """
    try:
        with quiet_pydicom():
            if not hasattr(image, "file_meta"):
                image.file_meta = FileMetaDataset()
                image.file_meta.MediaStorageSOPClassUID = image.get("SOPClassUID", "")
                image.file_meta.MediaStorageSOPInstanceUID = image.get("SOPInstanceUID", "")
                image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
                image.is_little_endian, image.is_implicit_VR = True, False
            pydicom.dcmwrite(path, image, write_like_original=False)
    except UNREADABLE as error:
        msg = f"the PACS sends an image that cannot be kept ({type(error).__name__}); expected DICOM"
        raise ArchiveError(msg) from None
