"""``evaluate``: the analysis of the published study on any cohort folder."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lib.cli.report import JsonFlag, report
from lib.domain.criteria import BOOTSTRAP_DRAWS, IOU_THRESHOLD, SURFACE_TOLERANCE_MM

if TYPE_CHECKING:
    from lib.evaluation.report import Report

logger = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 5.0


def evaluate(
    cohort: Annotated[Path, typer.Argument(help="Cohort folder with labels.")],
    predictions: Annotated[Path, typer.Option(help="Folder that 'predict' wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the report; a run that was interrupted goes on there.")],
    compare: Annotated[Path | None, typer.Option(help="Second folder of predictions, compared in pairs.")] = None,
    group_by: Annotated[list[str] | None, typer.Option(help="Column whose values make further groups.")] = None,
    factor: Annotated[
        list[str] | None, typer.Option(help="Column of subgroups and regression; else the usual ones that are there.")
    ] = None,
    internal: Annotated[
        list[str] | None, typer.Option(help="Internal centre; else the one with most patients on GE.")
    ] = None,
    missing: Annotated[
        Literal["exclude", "empty"], typer.Option(help="What an image without a prediction counts as.")
    ] = "exclude",
    size_from: Annotated[
        Literal["label", "column"], typer.Option(help="Sizes: diameter in the label, or column size_mm.")
    ] = "label",
    tolerance_mm: Annotated[float, typer.Option(min=0.0, help="Of the surface Dice.")] = SURFACE_TOLERANCE_MM,
    iou: Annotated[float, typer.Option(min=0.001, max=1.0, help="Least overlap of the criterion iou.")] = IOU_THRESHOLD,
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap resamples of patients.")] = BOOTSTRAP_DRAWS,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 for one a core.")] = 0,
    json_: JsonFlag = False,
) -> None:
    """Score predictions against labels; what is amiss in the input is listed in the report."""
    from lib.evaluation.cohort import evaluate_cohort
    from lib.evaluation.page.render import write_page
    from lib.evaluation.report import Options, write_report

    options = Options(
        missing=missing,
        internal_centres=tuple(internal or ()),
        group_by=tuple(group_by or ()),
        factors=tuple(factor or ()),
        size_from=size_from,
        surface_tolerance_mm=tolerance_mm,
        iou_threshold=iou,
        bootstrap_draws=draws,
        seed=seed,
    )
    evaluation = evaluate_cohort(
        cohort,
        predictions,
        options,
        compare_with=compare,
        keep=out,
        workers=workers or os.cpu_count() or 1,
        on_case=_progress(),
    )
    path = write_report(evaluation.report, out)
    page = write_page(evaluation.report, evaluation.files, out)
    report({"report": str(path), "page": str(page), **_headline(evaluation.report)}, as_json=json_)
    if not evaluation.report.cases:
        raise typer.Exit(2)


def _progress() -> Callable[[int, int], None]:
    """Tell every few seconds how far scoring is, and how long it will take."""
    started = last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES or done == total:
            last, rate = now, done / max(now - started, 1e-3)
            logger.info("scored %d of %d, %.1f a second, %.0f s left", done, total, rate, (total - done) / rate)

    return tell


def _headline(made: Report) -> dict[str, object]:
    """What a person wants to see at once: counts, problems, and per sequence the share found and the median DSC."""
    counts = made.counts
    lines: dict[str, object] = {
        "scored": counts.scored,
        "excluded": counts.excluded,
        "patients": counts.scored_patients,
        "masses": counts.masses,
        "problems": len(made.problems),
    }
    for result in made.results:
        if result.group == "all":
            found = result.detection[0].masses
            median = result.regions[-1].measures["dice"].median
            lines[result.sequence] = {
                "masses_found": found.count,
                "masses": found.total,
                "median_dsc": None if median is None else round(median, 4),
            }
    return lines
