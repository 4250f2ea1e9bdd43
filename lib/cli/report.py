"""What every command prints: one JSON document, or lines for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def report(result: Mapping[str, object], *, as_json: bool) -> None:
    """Print a command's result."""
    if as_json:
        print(json.dumps(result, allow_nan=False))
    else:
        for name, value in result.items():
            print(f"{name:>16}  {value}")


def table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows that have the same columns, for a person."""
    if not rows:
        print("nothing yet")
        return
    columns = [[name, *(str(row[name]) for row in rows)] for name in rows[0]]
    widths = [max(map(len, column)) for column in columns]
    for cells in zip(*columns, strict=True):
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
