"""``predict``: proposals for every image of a cohort, without a server."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from lib.cli.report import JsonFlag, report
from lib.domain.cohort import COHORT_TABLE, read_cohort, record_of, recorded_sequence
from lib.domain.errors import BadCohortError, RenalError
from lib.domain.records import CaseRecord
from lib.domain.sequences import get_sequence
from lib.imaging.sidecar import read_sidecar
from lib.imaging.volume import NIFTI_SUFFIXES, image_stem, read_volume, write_bytes, write_volume

AUTO = "auto"
logger = logging.getLogger(__name__)


def predict(
    cohort: Annotated[Path, typer.Argument(help="Cohort folder, or any folder of NIfTI images.")],
    out: Annotated[Path, typer.Option(help="Folder for <image_id>.nii.gz and predictions.json.")],
    sequence: Annotated[str, typer.Option(help="auto, or the code of every image.")] = AUTO,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json_: JsonFlag = False,
) -> None:
    """Propose labels; an image that cannot be used is reported and the others go on."""
    from lib.configs.settings import Settings
    from lib.infers.propose import Proposer

    requested = "" if sequence == AUTO else get_sequence(sequence).code
    proposer = Proposer(Settings.from_conf({}).models(), device)
    records = images_of(cohort)
    done: dict[str, object] = {}
    failed: dict[str, str] = {}
    for number, (record, path) in enumerate(records, start=1):
        try:
            proposal = proposer.propose(
                read_volume(path),
                requested=requested,
                metadata=recorded_sequence(record),
                image_id=record.image_id,
                sidecar=read_sidecar(path),
            )
        except RenalError as error:
            failed[record.image_id] = f"{type(error).__name__}: {error}"
            logger.warning("image %d of %d refused: %s", number, len(records), failed[record.image_id])
            continue
        write_volume(proposal.label, out / f"{record.image_id}.nii.gz")
        done[record.image_id] = proposal.to_json()
        logger.info("image %d of %d done, taken for %s", number, len(records), proposal.sequence.code)
    write_bytes(json.dumps({"images": done, "failed": failed}, indent=1).encode(), out / "predictions.json")
    report({"predicted": len(done), "failed": failed, "out": str(out)}, as_json=json_)
    if failed:
        raise typer.Exit(2 if not done else 1)


def images_of(folder: Path) -> list[tuple[CaseRecord, Path]]:
    """Images of a folder with their records: those of its table, else every NIfTI file by its name.

    Raises:
        BadCohortError: When the folder holds no image, or an image of its table is missing.
    """
    if not folder.is_dir():
        msg = "the cohort is not a folder; expected a folder of NIfTI images"
        raise BadCohortError(msg)
    files = {image_stem(path): path for path in sorted(folder.iterdir()) if path.name.endswith(NIFTI_SUFFIXES)}
    records = read_cohort(folder) if (folder / COHORT_TABLE).is_file() else [record_of(name) for name in files]
    missing = sum(record.image_id not in files for record in records)
    if missing or not records:
        msg = f"{missing} of the {len(records)} images are missing from the folder; expected at least one, and all"
        raise BadCohortError(msg)
    return [(record, files[record.image_id]) for record in records]
