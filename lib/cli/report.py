"""What every command prints: one JSON document, or lines for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
