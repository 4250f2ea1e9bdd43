"""Rows of series and studies as tests keep them, read into headers."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from lib.ingest.headers import SeriesHeader, header_of_sidecar

HERE = Path(__file__).parent
_NAMES = {"FA": "FlipAngle", "ETL": "EchoTrainLength", "b": "DiffusionBValue", "(0019,109C)": "SequenceName"}
_SECONDS = {"TR": "RepetitionTime", "TE": "EchoTime", "TI": "InversionTime"}


def header_of_row(row: dict[str, str]) -> SeriesHeader:
    """Header of a row; values are ``NAME=VALUE; …`` with TR and TE in ms, and remarks in parentheses."""
    values = row.get("values") or row.get("other_header_values") or ""
    sidecar: dict[str, object] = {
        "Manufacturer": row["manufacturer"],
        "SeriesDescription": row["series_description"],
    }
    for part in re.sub(r" \([^)]*\)", "", values).split(";"):
        name, equals, value = (text.strip().strip("'") for text in part.partition("="))
        if equals and name in _SECONDS:
            sidecar[_SECONDS[name]] = float(value) / 1000
        elif equals:
            sidecar[_NAMES.get(name, name)] = value
    return header_of_sidecar(sidecar)


def series(path: Path) -> Iterator[tuple[str, SeriesHeader, str]]:
    """Name for the test, header and expected code of every row of a file."""
    with path.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            yield f"{number}-{row['series_description']}", header_of_row(row), row["expected"]


def studies(path: Path) -> dict[str, list[tuple[SeriesHeader, str]]]:
    """Headers and expected codes of every study of a file."""
    found: dict[str, list[tuple[SeriesHeader, str]]] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            found.setdefault(row["study"], []).append((header_of_row(row), row["expected"]))
    return found
