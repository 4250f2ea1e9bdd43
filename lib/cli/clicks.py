"""``train-clicks``: the network behind ``refine_clicks``, one for every sequence."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from lib.cli.report import JsonFlag, report
from lib.domain.errors import NotEnoughLabelsError

logger = logging.getLogger(__name__)


def train_clicks(
    cohort: Annotated[Path, typer.Argument(help="Cohort folder with complete labels, every sequence.")],
    start_from: Annotated[Path, typer.Option(help="Weight file of a sequence, or a click network to go on with.")],
    out: Annotated[Path, typer.Option(help="Weight file to write, *.safetensors.")],
    proposals: Annotated[Path | None, typer.Option(help="Folder that predict wrote for this cohort.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01)] = 40.0,
    images: Annotated[int, typer.Option(min=1, help="At most so many are read.")] = 400,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1.5e-3,
    version: Annotated[str, typer.Option(help="Name of the version; the file's name when empty.")] = "",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json_: JsonFlag = False,
) -> None:
    """Fit on the cohort's training patients with simulated clicks; benchmarks/clicks.py tells how good it is."""
    from lib.cli.train import labelled_images
    from lib.loop.retrain import images_on
    from lib.nets.click_fit import fit_clicks, read_click_cases
    from lib.nets.clicks import CLICK_PLAN
    from lib.nets.networks import ALL_SEQUENCES, load_weights, save_weights
    from lib.nets.trainee import FitSettings

    training = images_on(labelled_images(cohort, ALL_SEQUENCES), "train")
    if not training:
        msg = "no labelled image of a patient on the train side; expected at least one"
        raise NotEnoughLabelsError(msg)
    every = max(1, len(training) // images)
    cases = read_click_cases(training[::every], proposals, CLICK_PLAN)
    result = fit_clicks(
        cases,
        CLICK_PLAN,
        FitSettings(minutes=minutes, seed=seed, device=device, learning_rate=learning_rate),
        start_from=load_weights(start_from),
        on_progress=lambda steps, share, loss: logger.info("%d steps, %.0f %%, loss %.3f", steps, 100 * share, loss),
    )
    notes = {
        "version": version or out.stem,
        "trained_on": str(len(cases)),
        "minutes": f"{minutes:g}",
        "steps": str(result.steps),
    }
    save_weights(out, result.state, CLICK_PLAN, notes)
    report({"out": str(out), **notes}, as_json=json_)
