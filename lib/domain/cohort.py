"""``cohort.csv``: which image belongs to whom, read and written in one place."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lib.domain.errors import BadCohortError
from lib.domain.records import CaseRecord, check_image_id
from lib.domain.sequences import SEQUENCES

COHORT_TABLE = "cohort.csv"
COLUMNS = ("image_id", "patient_id", "sequence", "centre", "vendor", "scanner_model", "field_t")
_FURTHER = re.compile(r"(?<=.)-study([2-9]|[1-9]\d+)$")  # before the code: a patient's second study, or a later one
_NEEDED = ("image_id", "patient_id", "sequence")


def format_cohort(records: Sequence[CaseRecord]) -> str:
    """Write records as CSV text; clinical columns follow the fixed ones, in the order of their first use."""
    clinical = list(dict.fromkeys(name for record in records for name in record.clinical))
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*COLUMNS, *clinical])
    for record in records:
        fixed = [getattr(record, name) for name in COLUMNS[:-1]] + [f"{record.field_t:g}"]
        table.writerow([*fixed, *(record.clinical.get(name, "") for name in clinical)])
    return text.getvalue()


def parse_cohort(text: str) -> list[CaseRecord]:
    """Read CSV text into records.

    Raises:
        BadCohortError: When a needed column is missing, an id is unsafe or repeated, or a field strength is no number.
    """
    table = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    columns = table.fieldnames or []
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        msg = f"{COHORT_TABLE} has no column {missing[0]!r}; expected at least {', '.join(_NEEDED)}"
        raise BadCohortError(msg)
    records: dict[str, CaseRecord] = {}
    for line, row in enumerate(table, start=2):
        record = _record(row, line)
        if record.image_id in records:
            msg = f"{COHORT_TABLE} line {line} repeats an image id; expected each image once"
            raise BadCohortError(msg)
        records[record.image_id] = record
    return list(records.values())


def _record(row: dict[str, str | None], line: int) -> CaseRecord:
    values = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
    try:
        field_t = float(values.get("field_t") or 0)
    except ValueError:
        msg = f"{COHORT_TABLE} line {line} has the field strength {values['field_t']!r}; expected tesla, e.g. 1.5"
        raise BadCohortError(msg) from None
    try:
        image_id = check_image_id(values["image_id"])
    except BadCohortError as error:
        msg = f"{COHORT_TABLE} line {line}: {error}"
        raise BadCohortError(msg) from None
    return CaseRecord(
        image_id=image_id,
        patient_id=values["patient_id"],
        sequence=values["sequence"],
        centre=values.get("centre", ""),
        vendor=values.get("vendor", ""),
        scanner_model=values.get("scanner_model", ""),
        field_t=field_t,
        clinical={name: value for name, value in values.items() if name not in COLUMNS},
    )


def read_cohort(folder: Path) -> list[CaseRecord]:
    """Read a folder's table.

    Raises:
        BadCohortError: When the folder has no readable table.
    """
    table = folder / COHORT_TABLE
    if not table.is_file():
        msg = f"the folder holds no {COHORT_TABLE}; expected a cohort folder"
        raise BadCohortError(msg)
    try:
        return parse_cohort(table.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"{COHORT_TABLE} cannot be read as UTF-8 CSV ({type(error).__name__})"
        raise BadCohortError(msg) from None


def image_id_of(patient_id: str, code: str, study: int = 1) -> str:
    """Name an image: ``P001_CP``, and ``P001-study2_CP`` in the patient's second study."""
    return f"{patient_id}_{code}" if study == 1 else f"{patient_id}-study{study}_{code}"


def study_number(image_id: str) -> int:
    """Which study of its patient an image belongs to, by its name."""
    found = _FURTHER.search(image_id.rpartition("_")[0])
    return int(found[1]) if found else 1


def record_of(image_id: str) -> CaseRecord:
    """Derive a record from an image id alone, as ``image_id_of`` makes it; sequence is empty when no code fits."""
    case, _, code = image_id.rpartition("_")
    by_upper = {known.upper(): known for known in SEQUENCES}
    if case and code.upper() in by_upper:
        return CaseRecord(image_id=image_id, patient_id=_FURTHER.sub("", case), sequence=by_upper[code.upper()])
    return CaseRecord(image_id=image_id, patient_id=image_id, sequence="")


def recorded_sequence(record: CaseRecord) -> str:
    """Sequence that a table states; empty when only the image's name tells it."""
    return "" if record == record_of(record.image_id) else record.sequence


def patients(records: Iterable[CaseRecord]) -> list[str]:
    """Distinct patients, sorted."""
    return sorted({record.patient_id for record in records})
