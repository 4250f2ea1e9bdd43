"""``propagate``: a reader's label on one image becomes proposals on the patient's other images."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lib.cli.predict import images_of
from lib.cli.report import JsonFlag, report
from lib.domain.errors import RenalError, UnknownImageError
from lib.domain.structures import STRUCTURES
from lib.imaging.sidecar import read_object
from lib.imaging.volume import Volume, read_grid, read_label, read_volume, write_bytes, write_volume

if TYPE_CHECKING:
    from lib.loop.propagate import Propagation

TABLE = "propagations.json"
logger = logging.getLogger(__name__)


def propagate(
    cohort: Annotated[Path, typer.Argument(help="Cohort folder with the reader's label.")],
    source: Annotated[str, typer.Option("--from", metavar="IMAGE_ID", help="Image whose final label is carried over.")],
    out: Annotated[Path, typer.Option(help=f"Folder for <image_id>.nii.gz and {TABLE}.")],
    proposals: Annotated[Path | None, typer.Option(help="Folder that predict wrote, to average in.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Carry a label to the patient's other images; each comes with an expected Dice, or the reason why it does not."""
    from lib.loop.propagate import propagate as carry_over

    files = {record.image_id: (record, path) for record, path in images_of(cohort)}
    if source not in files:
        msg = "the cohort holds no image of that id; expected the id of a labelled image"
        raise UnknownImageError(msg)
    patient = files[source][0].patient_id
    image = read_volume(files[source][1])
    label, drawn = final_label(cohort, source, files[source][1])
    done: dict[str, object] = {}
    refused: dict[str, str] = {}
    failed: dict[str, str] = {}
    targets = [name for name, (record, _) in files.items() if record.patient_id == patient and name != source]
    for number, name in enumerate(targets, start=1):
        started = time.perf_counter()
        try:
            result = carry_over(
                label, image, read_volume(files[name][1]), drawn=drawn, proposal=_proposal(proposals, name)
            )
        except RenalError as error:
            failed[name] = f"{type(error).__name__}: {error}"
            logger.warning("image %d of %d refused: %s", number, len(targets), failed[name])
            continue
        logger.info("image %d of %d: %s", number, len(targets), result.reason)
        if result.label is None:
            refused[name] = result.reason
            continue
        write_volume(result.label, out / f"{name}.nii.gz")
        done[name] = {**to_json(result), "seconds": round(time.perf_counter() - started, 3)}
    table = {"from": source, "images": done, "not_propagated": refused, "failed": failed}
    write_bytes(json.dumps(table, indent=1).encode(), out / TABLE)
    report({"propagated": len(done), "not_propagated": refused, "failed": failed, "out": str(out)}, as_json=json_)
    if failed or not done:
        raise typer.Exit(1)


def final_label(cohort: Path, image_id: str, image: Path) -> tuple[Volume, frozenset[str]]:
    """The reader's label that counts, and what was drawn in it.

    Raises:
        UnknownImageError: When the image has none.
        BadLabelError: When its values cannot be accepted.
        GeometryError: When it does not lie on the image's grid.
    """
    from lib.store.cohort import FINAL
    from lib.store.folder import LABELS
    from lib.store.labels import checked_label

    folder = cohort / LABELS / FINAL
    for path in (folder / f"{image_id}.nii.gz", folder / f"{image_id}.nii"):
        if path.is_file():
            return checked_label(path, read_grid(image), read_object(folder / f"{image_id}.json"), integers=False)
    msg = "that image has no final label; expected the id of a labelled image"
    raise UnknownImageError(msg)


def to_json(result: Propagation) -> dict[str, object]:
    """What ``propagations.json`` says of one proposal, without the voxels."""
    from dataclasses import asdict

    from lib.imaging.lesions import measure_masses

    return {
        "label_names": {row.name: row.value for row in STRUCTURES.values()},
        "reason": result.reason,
        "expected_dice": round(result.expected, 3),
        "expected_of": "mass" if result.evidence and result.evidence.of_mass else "kidney",
        "network_agreement": result.evidence.agreement if result.evidence else None,
        "shifts_mm": [[round(part, 1) for part in shift] for shift in result.shifts_mm],
        "extra_masses": result.extra_masses,
        "masses": [asdict(mass) for mass in measure_masses(result.label)] if result.label else [],
    }


def _proposal(folder: Path | None, image_id: str) -> Volume | None:
    path = folder / f"{image_id}.nii.gz" if folder else None
    return read_label(path) if path and path.is_file() else None
