"""What a person decided about series that no rule could name; kept beside the key, so that it holds for every run."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.domain.errors import BadRequestError
from lib.domain.sequences import OTHER, SEQUENCES
from lib.imaging.volume import write_bytes

DECISIONS_TABLE = "decisions.csv"
_COLUMNS = ("series", "code")
_SERIES = re.compile(r"S[0-9a-f]{12}")


def parse_decisions(texts: Sequence[str]) -> dict[str, str]:
    """Read ``SERIES=CODE`` as given on the command line.

    Raises:
        BadRequestError: When one has another form, or a code that is neither a sequence nor ``other``.
    """
    decided: dict[str, str] = {}
    for text in texts:
        series, _, code = text.partition("=")
        decided[_check_series(series.strip())] = _check_code(code.strip())
    return decided


def read_decisions(folder: Path) -> dict[str, str]:
    """Read ``decisions.csv``; empty when there is none.

    Raises:
        BadRequestError: When the table cannot be read.
    """
    path = folder / DECISIONS_TABLE
    if not path.is_file():
        return {}
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"{DECISIONS_TABLE} cannot be read as UTF-8 CSV ({type(error).__name__})"
        raise BadRequestError(msg) from None
    return {
        _check_series((row.get("series") or "").strip()): _check_code((row.get("code") or "").strip()) for row in rows
    }


def write_decisions(decided: Mapping[str, str], folder: Path) -> None:
    """Replace ``decisions.csv``, sorted by series."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    table.writerows(sorted(decided.items()))
    write_bytes(text.getvalue().encode(), folder / DECISIONS_TABLE)


def _check_series(series: str) -> str:
    if not _SERIES.fullmatch(series):
        msg = "a decision names no series; expected SERIES=CODE with a series of the table, e.g. S3f09c27ab1de=CP"
        raise BadRequestError(msg)
    return series


def _check_code(code: str) -> str:
    if code not in SEQUENCES and code != OTHER:
        msg = f"a decision gives the code {code!r}; expected one of: {', '.join([*SEQUENCES, OTHER])}"
        raise BadRequestError(msg)
    return code
