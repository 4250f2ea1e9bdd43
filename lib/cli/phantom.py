"""``phantom``: a synthetic multi-centre, multi-vendor cohort with labels, or the same patients as DICOM."""

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
    unusual: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of patients with kidneys missing, in the pelvis or transplanted."),
    ] = 0.0,
    dicom: Annotated[bool, typer.Option("--dicom", help="DICOM series without labels, in one process.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Generate a cohort; the same seed gives the same bytes."""
    from lib.phantom.cohort import generate_cohort
    from lib.phantom.dicom import generate_dicom

    start = time.monotonic()
    made = {"out": str(out), "patients": patients}
    if dicom:
        counted = {"files": generate_dicom(out, patients=patients, seed=seed, unusual=unusual)}
    else:
        counted = {"images": len(generate_cohort(out, patients=patients, seed=seed, unusual=unusual, workers=workers))}
    report({**made, **counted, "seconds": round(time.monotonic() - start, 1)}, as_json=json_)
