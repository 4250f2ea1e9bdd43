"""``export``: the labels of an imported cohort as DICOM SEG and SR, on the series that they were drawn on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lib.cli.imports import DEFAULT_KEY, Progress
from lib.cli.report import JsonFlag, report
from lib.domain.cohort import COHORT_TABLE
from lib.domain.errors import BadCohortError
from lib.domain.sequences import SEQUENCES


def export(
    cohort: Annotated[Path, typer.Argument(help="Cohort folder that import made, with labels.")],
    dicom: Annotated[Path, typer.Option(metavar="DICOM_DIR", help="Folder or zip that it was imported from.")],
    out: Annotated[Path, typer.Option(help="Folder for the DICOM files, which name the patients; outside the cohort.")],
    key: Annotated[Path, typer.Option(help="Key file of the import.")] = DEFAULT_KEY,
    json_: JsonFlag = False,
) -> None:
    """Write final labels as DICOM SEG, and the measurements of their masses as DICOM SR."""
    from lib.configs.settings import Settings
    from lib.ingest.export import export_labels
    from lib.store.cohort import CohortStore

    if not (cohort / COHORT_TABLE).is_file():
        msg = f"there is no {COHORT_TABLE}; expected a cohort folder that import made"
        raise BadCohortError(msg)
    store = CohortStore(cohort, Settings.from_conf({}).store)
    ids = [image.image_id for code in SEQUENCES for image in store.labelled(code)]
    progress = Progress()
    try:
        rows = export_labels(
            {image_id: store.label(image_id) for image_id in ids}, cohort, dicom, out,
            key_file=key, on_progress=progress.show,
        )  # fmt: skip
    finally:
        progress.end()
    if not json_:
        for row in rows:
            print(f"{row.image_id}  {', '.join(row.files) or f'not exported: {row.why}'}")
    done = sum(bool(row.files) for row in rows)
    summary: dict[str, object] = {"exported": done, "not_exported": len(rows) - done, "out": str(out)}
    report({**summary, "labels": [asdict(row) for row in rows]} if json_ else summary, as_json=json_)
    if not done:
        raise typer.Exit(1)
