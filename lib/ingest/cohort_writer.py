"""The cohort folder that import adds to: what is there stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lib.domain.cohort import COHORT_TABLE, format_cohort, image_id_of, read_cohort, record_of, study_number
from lib.domain.errors import BadCohortError, BadDicomError, BadKeyError
from lib.domain.ledger import IMPORTED, LEDGER, SKIPPED, Ledger, SeriesRow, format_ledger
from lib.domain.records import CaseRecord, check_image_id
from lib.domain.scanners import vendor_of
from lib.imaging.volume import NIFTI_SUFFIXES, image_stem, volume_bytes, write_bytes
from lib.ingest.dicom_convert import convert
from lib.ingest.dicom_series import Stack
from lib.ingest.dicom_studies import Candidate
from lib.ingest.identity import clean_sidecar
from lib.ingest.pseudonym import Pseudonyms


@dataclass(kw_only=True)
class CohortWriter:
    """The folder that images go to, and what this run added.

    Attributes:
        fetch: Called with a stack that is about to be converted, to bring its pixels where there are only headers.
        tells_all: Whether ``import.json`` is written even where nothing was imported.
    """

    folder: Path
    names: Pseudonyms
    ledger: Ledger
    fetch: Callable[[Stack], None] = lambda _: None
    tells_all: bool = False
    new: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    records: list[CaseRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listed = {record.image_id for record in self._table()}
        imported = [row for row in self.ledger.rows.values() if row.status == IMPORTED]
        self._owners = {row.image_id: row.series for row in imported}
        self._studies: dict[str, dict[str, int]] = {}
        for row in imported:
            self._number_study(row.patient, row.study, row.image_id)

    def check_owner(self, patients: set[str]) -> None:
        """Refuse another key, and images that no table describes: a table of the new ones alone would hide them.

        Raises:
            BadKeyError: When the cohort was made with another key.
            BadCohortError: When there is no table, and an image that is not from these patients.
        """
        if self.ledger.key not in ("", self.names.fingerprint):
            msg = "the cohort was imported with another key, which would make each patient two; expected the same key"
            raise BadKeyError(msg)
        if not self.folder.is_dir() or (self.folder / COHORT_TABLE).is_file():
            return
        images = [image_stem(path) for path in self.folder.iterdir() if path.name.endswith(NIFTI_SUFFIXES)]
        if any(record_of(name).patient_id not in patients for name in images):
            msg = f"the folder holds images and no {COHORT_TABLE}; expected a cohort folder, or a new or empty one"
            raise BadCohortError(msg)

    def row_of(self, series: str) -> SeriesRow | None:
        """The row of a series whose image an earlier run wrote, and that is still there."""
        row = self.ledger.rows.get(series)
        if not row or row.status != IMPORTED or row.image_id not in self._listed:
            return None
        return row if self._image(row.image_id).exists() else None

    def kept(self, candidate: Candidate) -> SeriesRow | None:
        """The same for a candidate, which counts as already there."""
        row = self.row_of(candidate.series)
        if row is None:
            return None
        self.already.append(row.image_id)
        return replace(row, study_date=candidate.study_date)

    def image_id(self, candidate: Candidate) -> str:
        """Id for an image of a candidate; a patient's studies are numbered in the order in which they came in."""
        numbers = self._studies.get(candidate.patient, {})
        number = numbers.get(candidate.study, max(numbers.values(), default=0) + 1)
        return image_id_of(candidate.patient, candidate.guess.code, number)

    def owner(self, image_id: str) -> str:
        """The series that an image was made from, when an earlier run made it and it is still there."""
        return self._owners.get(image_id, "") if self._image(image_id).exists() else ""

    def skipped_before(self, candidate: Candidate) -> SeriesRow | None:
        """The row of a series that an earlier run could not convert."""
        row = self.ledger.rows.get(candidate.series)
        return row if row and row.status == SKIPPED else None

    def add(self, candidate: Candidate, image_id: str) -> None:
        """Convert and write an image with its sidecar.

        Raises:
            BadDicomError: When it cannot be converted, or another image or a label has this id.
        """
        self.fetch(candidate.stack)
        converted = convert(candidate.stack)
        sidecar = clean_sidecar(
            converted.sidecar,
            description=candidate.description,
            contrast_agent=candidate.contrast_agent,
            centre=self.names.centre,
            study_date=candidate.stack.slices[0].study_date,
            shift_days=candidate.shift_days,
            person=candidate.person,
        )
        payload, image = volume_bytes(converted.volume), self._image(image_id)
        if image.exists() or image.with_suffix("").exists():
            self._check_same(payload, image)
        elif (self.folder / "labels" / "final" / image.name).exists():
            msg = f"a label of {image_id} exists without its image; nothing is put under it"
            raise BadDicomError(msg)
        else:
            write_bytes(f"{json.dumps(sidecar, indent=2)}\n".encode(), self.folder / f"{image_id}.json")
            write_bytes(payload, image)
        self._number_study(candidate.patient, candidate.study, image_id)
        self.new.append(image_id)
        self.records.append(self._record(candidate, image_id, sidecar))

    def finish(self, rows: Sequence[SeriesRow]) -> None:
        """Write the tables, when anything of this folder is or was imported."""
        if not (self.new or self.already or self.tells_all):
            return
        before = self._table()
        known = {record.image_id for record in before}
        if added := [record for record in self.records if record.image_id not in known]:
            write_bytes(format_cohort([*before, *added]).encode(), self.folder / COHORT_TABLE)
        joined = {**self.ledger.rows, **{row.series: row for row in rows}}
        payload, path = format_ledger(Ledger(key=self.names.fingerprint, rows=joined)), self.folder / LEDGER
        if not path.is_file() or path.read_bytes() != payload:
            write_bytes(payload, path)
        self._sweep()

    def _sweep(self) -> None:
        """Remove the halves of files that a killed run left; the key is held, so that no other import writes."""
        for name in (*self.new, COHORT_TABLE, LEDGER):
            for half in self.folder.glob(f".{name}.*.part"):
                half.unlink(missing_ok=True)

    def _number_study(self, patient: str, study: str, image_id: str) -> None:
        self._studies.setdefault(patient, {}).setdefault(study, study_number(image_id))

    def _check_same(self, payload: bytes, image: Path) -> None:
        if not image.is_file() or image.read_bytes() != payload:
            msg = "an image of this id exists already, made from something else; it is never overwritten"
            raise BadDicomError(msg)

    def _image(self, image_id: str) -> Path:
        return self.folder / f"{check_image_id(image_id)}.nii.gz"

    def _table(self) -> list[CaseRecord]:
        return read_cohort(self.folder) if (self.folder / COHORT_TABLE).is_file() else []

    def _record(self, candidate: Candidate, image_id: str, sidecar: Mapping[str, object]) -> CaseRecord:
        field_t = sidecar.get("MagneticFieldStrength", 0.0)
        return CaseRecord(
            image_id=image_id,
            patient_id=candidate.patient,
            sequence=candidate.guess.code,
            centre=self.names.centre,
            vendor=vendor_of(str(sidecar.get("Manufacturer", ""))),
            scanner_model=str(sidecar.get("ManufacturersModelName", "")),
            field_t=field_t if isinstance(field_t, int | float) else 0.0,
        )
