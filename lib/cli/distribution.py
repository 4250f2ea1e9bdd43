"""``distribution``: the file that says what the networks were trained on, from a cohort folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lib.cli.report import JsonFlag, report
from lib.domain.errors import NotEnoughLabelsError


def distribution(
    cohort: Annotated[Path, typer.Argument(help="Cohort folder that the networks were trained on.")],
    out: Annotated[Path, typer.Option(help="File to write, *.json.")],
    patients: Annotated[
        int, typer.Option(min=1, help="At most so many training patients, in order of their ids.")
    ] = 200,
    made_from: Annotated[str, typer.Option(help="What reports call these images.")] = "",
    remember: Annotated[
        Path | None, typer.Option(help="File of what is measured; a run that was cut short goes on.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Measure the images of the cohort's training patients: protocol, signal, and how the finder sees them."""
    from lib.cli.predict import images_of
    from lib.configs.settings import Settings
    from lib.loop.splits import side_of
    from lib.onboarding.distribution import write_distribution
    from lib.trainers.described import described

    settings = Settings.from_conf({})
    known = [
        (row, path)
        for row, path in images_of(cohort)
        if row.sequence and side_of(row.patient_id, settings.salt) == "train"
    ]
    chosen = set(sorted({row.patient_id for row, _ in known})[:patients])
    images = [(row, path) for row, path in known if row.patient_id in chosen]
    if not images:
        msg = "no image of a known sequence of a training patient; expected a cohort that networks were trained on"
        raise NotEnoughLabelsError(msg)
    name = made_from or f"{len(chosen)} training patients"
    made = described(images, settings.models(), made_from=name, remembered=remember)
    write_distribution(made, out)
    counts = {code: one.images for code, one in made.sequences.items()}
    report({"out": str(out), "patients": len(chosen), "images": counts}, as_json=json_)
