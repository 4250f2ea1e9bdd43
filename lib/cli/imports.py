"""``import``: a folder of DICOM into a cohort folder, with a line for every series."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lib.cli.report import JsonFlag, report

if TYPE_CHECKING:
    from lib.domain.ledger import SeriesRow
    from lib.ingest.dicom import ImportResult

DicomArgument = Annotated[
    Path, typer.Argument(metavar="DICOM_DIR", help="Folder of DICOM, however deep, or a zip of one.")
]
IntoOption = Annotated[Path, typer.Option(help="Cohort folder; made when it does not exist.")]
CentreOption = Annotated[str, typer.Option(help="Stands for the hospital in the cohort.")]
KeyOption = Annotated[Path, typer.Option(help="Key file of the pseudonyms; made on first use.")]
DecideOption = Annotated[
    list[str] | None, typer.Option(metavar="SERIES=CODE", help="Say what a series is; CODE may be other.")
]

DEFAULT_KEY = Path("~/.config/renal-loop/import.key")
ALREADY = "already there"
_EVERY_S = 0.5
_HEAD = ("series", "patient", "no.", "slices", "description", "taken for", "sure", "done")


def import_(
    dicom: DicomArgument,
    into: IntoOption,
    centre: CentreOption,
    key: KeyOption = DEFAULT_KEY,
    decide: DecideOption = None,
    json_: JsonFlag = False,
) -> None:
    """Import DICOM under pseudonyms; every series is listed with what it was taken for and what became of it."""
    from lib.ingest.dicom import import_dicom

    progress = Progress()
    try:
        result = import_dicom(
            dicom, into, centre=centre, key_file=key, decisions=decide or [], on_progress=progress.show
        )
    finally:
        progress.end()
    if not json_:
        _print_table(result)
    report(_summary(result, into, with_rows=json_), as_json=json_)
    if not result.imported and not result.already:
        raise typer.Exit(1)


def _summary(result: ImportResult, into: Path, *, with_rows: bool) -> dict[str, object]:
    summary: dict[str, object] = {
        "imported": len(result.imported),
        "already_there": len(result.already),
        "to_decide": sum(row.status == "unknown" for row in result.rows),
        "into": str(into),
        "files": result.files,
        "not_dicom": result.not_dicom,
        "damaged_files": list(result.damaged),
        "dead_links": result.dead_links,
    }
    if with_rows:
        summary["series"] = [{**asdict(row), "status": _status(row, result)} for row in result.rows]
    return summary


def _status(row: SeriesRow, result: ImportResult) -> str:
    return ALREADY if row.image_id in result.already else row.status


def _print_table(result: ImportResult) -> None:
    lines: list[Sequence[str]] = [_HEAD]
    for row in result.rows:
        number = "" if row.series_number is None else str(row.series_number)
        done = f"{_status(row, result)} {row.image_id}" if row.image_id else f"{row.status}: {row.why}"
        part = f" ({row.part})" if row.part else ""
        sure = f"{row.confidence:.2f}"
        lines.append(
            (row.series, row.patient, number, str(row.slices), f"{row.description}{part}", row.code, sure, done)
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    print()


class Progress:
    """One line on stderr that is written over; on a pipe, a line now and then."""

    def __init__(self) -> None:
        self._shown_s = time.monotonic()
        self._open = False

    def show(self, what: str, done: int, total: int) -> None:
        """Show a count, twice a second at most, and the last one."""
        now = time.monotonic()
        if done < total and now - self._shown_s < _EVERY_S:
            return
        self._shown_s = now
        self._open = sys.stderr.isatty()
        print(f"{what}: {done} of {total}", file=sys.stderr, end="\r" if self._open else "\n", flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self._open:
            print(file=sys.stderr)
