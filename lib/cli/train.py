"""``train``: one candidate model version from a cohort folder, without a server."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from lib.cli.report import JsonFlag, report
from lib.configs.settings import Settings
from lib.domain.errors import BadCohortError, NotEnoughLabelsError
from lib.domain.records import CaseScore, LabelledImage
from lib.domain.sequences import get_sequence
from lib.domain.structures import STRUCTURES
from lib.registry.models import FINDER

if TYPE_CHECKING:
    from lib.nets.networks import LoadedWeights, Plan

logger = logging.getLogger(__name__)


def train(
    cohort: Annotated[Path, typer.Argument(help="Cohort folder with labels.")],
    sequence: Annotated[str, typer.Option(help="Sequence code; 'all': every sequence; 'finder': the kidney finder.")],
    out: Annotated[Path, typer.Option(help="Weight file to write, *.safetensors.")],
    minutes: Annotated[float, typer.Option(min=0.01)] = 30.0,
    start_from: Annotated[Path | None, typer.Option(help="Weight file to start from.")] = None,
    version: Annotated[str, typer.Option(help="Name of the version; the file's name when empty.")] = "",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    randomised: Annotated[
        bool, typer.Option("--randomised", help="Also learn from images such as no scanner of the cohort makes.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    processes: Annotated[int, typer.Option(min=1, help="That train together, one a GPU.")] = 1,
    json_: JsonFlag = False,
) -> None:
    """Fit on the cohort's training patients, validate on its validation patients, write one weight file."""
    from lib.loop.retrain import images_on
    from lib.nets.augment import RANDOMISED
    from lib.nets.find import load_finder
    from lib.nets.fit import fit
    from lib.nets.networks import load_weights, save_weights
    from lib.nets.score import score_images
    from lib.nets.trainee import FitSettings
    from lib.trainers.assessment import assessment_notes
    from lib.trainers.progress import progress_line

    images = labelled_images(cohort, sequence)
    training, validation = images_on(images, "train"), images_on(images, "validation")
    if not training or not validation:
        msg = f"{len(training)} training and {len(validation)} validation images; expected at least one of each"
        raise NotEnoughLabelsError(msg)
    base = load_weights(start_from) if start_from else None
    settings = FitSettings(minutes=minutes, seed=seed, device=device, processes=processes)
    if learning_rate is not None:
        settings = replace(settings, learning_rate=learning_rate)
    if randomised:
        settings = replace(settings, strength=RANDOMISED)
    plan = plan_of(sequence, base)
    result = fit(
        training,
        validation,
        plan,
        settings,
        start_from=replace(base, plan=plan) if base else None,
        on_epoch=lambda epoch: logger.info(progress_line(epoch)),
    )
    notes = {"version": version or out.stem, "trained_on": str(len(training)), "minutes": f"{minutes:g}"}
    save_weights(out, result.state, result.plan, {**notes, **assessment_notes(result, base.notes if base else {})})
    find = None if sequence == FINDER else load_finder(Settings.from_conf({}).models().find(FINDER), device)
    scores = score_images(load_weights(out), validation, device, find=find)
    report({"out": str(out), **notes, "validated_on": len(scores), "dice": _mean_dice(scores)}, as_json=json_)


def labelled_images(cohort: Path, sequence: str) -> list[LabelledImage]:
    """Labelled images of one sequence, or of all.

    Raises:
        BadCohortError: When the cohort is not a folder.
        UnknownSequenceError: When the code is not in the table.
    """
    from lib.nets.networks import ALL_SEQUENCES
    from lib.store.cohort import CohortStore

    if not cohort.is_dir():
        msg = "the cohort is not a folder; expected a cohort folder with labels/final"
        raise BadCohortError(msg)
    store = CohortStore(cohort, Settings.from_conf({}).store)
    if sequence not in {ALL_SEQUENCES, FINDER}:
        return store.labelled(get_sequence(sequence).code)
    return [
        case for code in sorted({row.sequence for row in store.records().values()}) for case in store.labelled(code)
    ]


def plan_of(sequence: str, base: LoadedWeights | None) -> Plan:
    """The plan to train: the one to start from, made this sequence's, or a new one."""
    from lib.nets.find import FINDER_PLAN
    from lib.nets.networks import ALL_SEQUENCES, Plan

    if sequence == FINDER:
        return FINDER_PLAN
    if base:
        return replace(base.plan, code=sequence)
    if sequence == ALL_SEQUENCES:
        return Plan(code=ALL_SEQUENCES)
    return Plan(code=sequence, spacing_mm=get_sequence(sequence).spacing_mm)


def _mean_dice(scores: Sequence[CaseScore]) -> dict[str, float]:
    found = {name: [value for score in scores if (value := score.dice[name]) is not None] for name in STRUCTURES}
    return {name: round(fmean(values), 4) for name, values in found.items() if values}
