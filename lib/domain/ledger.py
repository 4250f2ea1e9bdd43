"""``import.json``: what became of every series that was ever brought to a cohort, under pseudonyms only.

The file is one object::

    {"version": 1, "key": FINGERPRINT, "series": [ROW, ...]}

The fingerprint tells one pseudonym key from another: a second key would make a patient two. There is one row a series,
or a phase of one, sorted by patient, study, number and series:

=============  =====================================================================================================
series         Key of the series, ``S`` and 12 digits; what ``--decide`` takes.
patient        Pseudonym; empty when the study's patient is not certain.
study          Key of the study, ``E`` and 12 digits.
study_date     Its date, moved as all dates of the patient; empty when unknown, or when the patient is not certain.
series_number  Of the scanner; null when the header says none.
description    Known words of the series description.
part           Which part of its series it is, when one series held several volumes; else empty.
slices         How many images it has.
code           CP, NP ... , ``other`` or ``unknown``.
rule           The rule that told the code, or ``decided`` when a person did.
confidence     0 to 1.
runner_up      The next code; may be empty.
reason         Why the code, in a sentence.
status         ``imported``, ``duplicate``, ``other``, ``unknown`` (a person has to decide) or ``skipped``.
image_id       Of the image it became; else empty.
why            Why it was not imported; else empty.
=============  =====================================================================================================

No time of import is kept: the same folder imported again gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lib.domain.errors import BadCohortError

LEDGER = "import.json"
VERSION = 1
IMPORTED, DUPLICATE, SKIPPED = "imported", "duplicate", "skipped"
DECIDED = "decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRow:
    """One row of the table, as described above."""

    series: str
    patient: str
    study: str
    series_number: int | None
    description: str
    part: str
    slices: int
    code: str
    rule: str
    confidence: float
    runner_up: str
    reason: str
    status: str
    image_id: str = ""
    why: str = ""
    study_date: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All rows by series, and the fingerprint of the key; empty when nothing was imported yet."""

    key: str = ""
    rows: Mapping[str, SeriesRow] = field(default_factory=dict)


def read_ledger(folder: Path) -> Ledger:
    """Read the file, if there is one.

    Raises:
        BadCohortError: When the file is not one that ``import`` wrote.
    """
    path = folder / LEDGER
    if not path.is_file():
        return Ledger()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        rows = {row["series"]: SeriesRow(**row) for row in document["series"]}
        version, key = document["version"], str(document["key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{LEDGER} cannot be read ({type(error).__name__}); expected the file that import wrote"
        raise BadCohortError(msg) from None
    if version != VERSION:
        msg = f"{LEDGER} has version {version!r}; expected {VERSION}"
        raise BadCohortError(msg)
    return Ledger(key=key, rows=rows)


def format_ledger(ledger: Ledger) -> bytes:
    """Write the file's content; equal ledgers give equal bytes."""
    rows = [asdict(row) for row in in_order(ledger.rows.values())]
    document = {"version": VERSION, "key": ledger.key, "series": rows}
    return f"{json.dumps(document, indent=1, ensure_ascii=False)}\n".encode()


def in_order(rows: Iterable[SeriesRow]) -> list[SeriesRow]:
    """Sort rows as a person looks for them."""
    return sorted(rows, key=lambda row: (row.patient, row.study, row.series_number or 0, row.part, row.series))
