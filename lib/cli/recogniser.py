"""``train-recogniser``: the classifier that tells a sequence from pixels when nothing else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from lib.cli.report import JsonFlag, report
from lib.domain.errors import NotEnoughLabelsError


def train_recogniser(
    cohort: Annotated[Path, typer.Argument(help="Cohort folder; labels are not needed.")],
    out: Annotated[Path, typer.Option(help="Weight file to write, *.safetensors.")],
    minutes: Annotated[float, typer.Option(min=0.01)] = 5.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    json_: JsonFlag = False,
) -> None:
    """Train on the cohort's training patients, calibrate on its validation patients."""
    from lib.cli.predict import images_of
    from lib.loop.splits import side_of
    from lib.nets import recognise

    images = [(record, path) for record, path in images_of(cohort) if record.sequence]
    sides = {
        side: [(path, record.sequence) for record, path in images if side_of(record.patient_id) == side]
        for side in ("train", "validation")
    }
    if not all(sides.values()):
        msg = f"{len(sides['train'])} training and {len(sides['validation'])} validation images; expected both"
        raise NotEnoughLabelsError(msg)
    weights = recognise.train_recogniser(sides["train"], sides["validation"], minutes=minutes, epochs=10_000, seed=seed)
    weights = replace(weights, notes={**weights.notes, "version": out.stem, "trained_on": str(len(sides["train"]))})
    recognise.save_recogniser(out, weights)
    report({"out": str(out), **weights.notes}, as_json=json_)
