"""``phantom``: a synthetic multi-centre, multi-vendor cohort with labels."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from lib.cli.report import JsonFlag, report

logger = logging.getLogger(__name__)


def phantom(
    out: Annotated[Path, typer.Argument(help="New or empty folder.")],
    patients: Annotated[int, typer.Option(min=1)] = 8,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    json_: JsonFlag = False,
) -> None:
    """Generate a cohort; the same seed gives the same bytes."""
    from lib.phantom.cohort import generate_cohort

    start = time.monotonic()
    records = generate_cohort(out, patients=patients, seed=seed, workers=workers)
    seconds = round(time.monotonic() - start, 1)
    report({"out": str(out), "patients": patients, "images": len(records), "seconds": seconds}, as_json=json_)
