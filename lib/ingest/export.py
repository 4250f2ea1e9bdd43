"""Labels of an imported cohort back to DICOM: a SEG and an SR on the series that each image was made from.

The cohort does not say where its images came from. The folder of DICOM does: with the key of the import each series
in it gets the pseudonym that ``import.json`` knows it by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import pydicom
from pydicom.dataset import Dataset

from lib.domain.errors import BadCohortError, BadDicomError, BadKeyError, BadRequestError, RenalError
from lib.domain.ledger import IMPORTED, LEDGER, Ledger, SeriesRow, read_ledger
from lib.domain.records import LabelVersion
from lib.domain.structures import MASS, STRUCTURE_NAMES
from lib.imaging.lesions import components
from lib.imaging.volume import read_label, write_bytes
from lib.ingest.dicom_files import open_source
from lib.ingest.dicom_origin import Origin
from lib.ingest.dicom_series import Stack
from lib.ingest.dicom_slices import UNREADABLE, Progress, quiet_pydicom, scan_files
from lib.ingest.dicom_studies import Candidate, candidates_of
from lib.ingest.dicomseg import write_seg
from lib.ingest.dicomsr import write_sr
from lib.ingest.pseudonym import Pseudonyms, open_key

MOST_MASSES = 50
"""Of a label with more, none is a segment or measured by itself: it is speckle, and each would take a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRow:
    """What became of one label.

    Attributes:
        files: Names of the files that were written.
        why: Why there are none; else empty.
    """

    image_id: str
    files: tuple[str, ...] = ()
    why: str = ""


def export_labels(
    labels: Mapping[str, LabelVersion],
    cohort: Path,
    source: Path,
    out: Path,
    *,
    key_file: Path,
    on_progress: Progress = lambda *_: None,
) -> list[ExportRow]:
    """Write ``<image_id>.seg.dcm``, and ``<image_id>.sr.dcm`` where there is a mass, for every label that can be.

    The files belong to the study that the images came from: they name the patient as it does.

    Args:
        labels: The labels that count, by image id.
        cohort: Folder that ``import`` made.
        source: Folder or zip archive that it was made from, or a part of it.
        out: Folder outside the cohort.
        key_file: Key of the import.
        on_progress: Called with what is done, how many and of how many.

    Raises:
        BadRequestError: When ``out`` lies inside the cohort.
        BadCohortError: When the cohort was not imported.
        BadDicomError: When the source cannot be opened.
        BadKeyError: When there is no key, or it is not that of the import.
    """
    if out.resolve().is_relative_to(cohort.resolve()):
        msg = "the folder to write to lies inside the cohort; expected one outside, since DICOM names the patient"
        raise BadRequestError(msg)
    ledger = read_ledger(cohort)
    if not ledger.rows:
        msg = f"the cohort has no {LEDGER}; expected one that was imported from DICOM"
        raise BadCohortError(msg)
    if not key_file.expanduser().is_file():
        msg = "there is no key file; expected the one that the cohort was imported with"
        raise BadKeyError(msg)
    with open_source(source) as found, open_key(key_file, cohort) as key:
        names = Pseudonyms(key=key, centre="")
        _check_key(names, ledger)
        scan = scan_files(found.paths, on_progress)
        candidates = {one.series: one for one in candidates_of(scan, names, on_progress)}
        origins = {row.image_id: row for row in ledger.rows.values() if row.status == IMPORTED}
        rows = []
        for number, (image_id, label) in enumerate(sorted(labels.items()), start=1):
            rows.append(_exported(label, origins.get(image_id), candidates, names, out))
            on_progress("exporting", number, len(labels))
    return rows


def _check_key(names: Pseudonyms, ledger: Ledger) -> None:
    if names.fingerprint != ledger.key:
        msg = "the cohort was imported with another key, so its series cannot be found; expected that key"
        raise BadKeyError(msg)


def _exported(
    label: LabelVersion, row: SeriesRow | None, candidates: Mapping[str, Candidate], names: Pseudonyms, out: Path
) -> ExportRow:
    if row is None:
        return ExportRow(image_id=label.image_id, why="its image was not imported from DICOM")
    candidate = candidates.get(row.series)
    if candidate is None:
        return ExportRow(image_id=label.image_id, why="its series does not lie in this folder")
    try:
        objects = label_objects(label, row.code, _headers(candidate.stack), names)
    except RenalError as error:
        return ExportRow(image_id=label.image_id, why=candidate.person.scrub(str(error)))
    files = {f"{label.image_id}.{kind}.dcm": _payload(written) for kind, written in objects.items()}
    for name, payload in files.items():
        write_bytes(payload, out / name)
    return ExportRow(image_id=label.image_id, files=tuple(files))


def label_objects(
    label: LabelVersion, code: str, series: Sequence[Dataset], names: Pseudonyms
) -> dict[Literal["seg", "sr"], Dataset]:
    """A label as a SEG, and as an SR where there is a mass; without one where there are too many to be masses.

    Args:
        label: Of an image.
        code: Of the image's sequence.
        series: Headers of the images that it was made from.
        names: What the reader's name becomes.

    Raises:
        RenalError: When they are not one whole volume, or the label does not lie on it.
    """
    drawn = STRUCTURE_NAMES if label.structures is None else label.structures
    volume = read_label(label.path)
    origin = Origin(
        made=label.created,
        reader=names.reader(label.author),
        model=f"segment_{code}" if label.model_version else "",
        model_version=label.model_version,
    )
    _, masses = components(volume.data == MASS)
    measured = masses <= MOST_MASSES
    seg = write_seg(volume, series, drawn=drawn, origin=origin, each_mass=measured)
    sr = write_sr(volume, seg, series, origin=origin) if measured else None
    return {"seg": seg, "sr": sr} if sr else {"seg": seg}


def _headers(stack: Stack) -> list[Dataset]:
    if stack.problem:
        raise BadDicomError(stack.problem)
    try:
        with quiet_pydicom():
            paths = dict.fromkeys(one.path for one in stack.slices)
            return [pydicom.dcmread(path, stop_before_pixels=True, force=True) for path in paths]
    except UNREADABLE as error:
        msg = f"a slice cannot be read any more ({type(error).__name__})"
        raise BadDicomError(msg) from None


def _payload(dataset: Dataset) -> bytes:
    file = BytesIO()
    with quiet_pydicom():
        pydicom.dcmwrite(file, dataset, write_like_original=False)
    return file.getvalue()
