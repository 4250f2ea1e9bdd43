"""The whole evaluation: from a cohort folder and a folder of predictions to a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lib.evaluation.cases import CaseFiles, Measure, Outcome
from lib.evaluation.document import make_report
from lib.evaluation.inputs import find_inputs
from lib.evaluation.report import Options, Report
from lib.evaluation.scoring import score_cases


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A report, and the files of the cases in it."""

    report: Report
    files: tuple[CaseFiles, ...]


def evaluate_cohort(
    cohort: Path,
    predictions: Path,
    options: Options,
    *,
    compare_with: Path | None = None,
    keep: Path | None = None,
    workers: int = 1,
    on_case: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate predictions of a cohort.

    Args:
        cohort: Cohort folder with labels.
        predictions: What ``predict`` wrote.
        options: What is asked for.
        compare_with: A second set of predictions.
        keep: Folder in which scores are kept, for a run that goes on; nowhere when None.
        workers: Processes.
        on_case: Called with the number of predictions scored so far, and of all.

    Raises:
        BadCohortError: When the cohort is not a folder with a usable table.
        BadPredictionsError: When a folder of predictions is not there.
    """
    inputs = find_inputs(cohort, predictions, compare_with, options.missing)
    measure = Measure(tolerance_mm=options.surface_tolerance_mm, iou_threshold=options.iou_threshold, keep=keep)
    paired = sum(case.compared is not None for case in inputs.files)
    total = len(inputs.files) + paired

    def scored(*, second: bool, before: int) -> dict[str, Outcome]:
        told = (lambda number: on_case(before + number, total)) if on_case else None
        return score_cases(inputs.files, measure, second=second, workers=workers, on_case=told)

    first = scored(second=False, before=0)
    second = scored(second=True, before=len(inputs.files)) if inputs.second else None
    report = make_report(inputs, first, second, options)
    in_report = {case.image_id for case in report.cases}
    return Evaluation(report=report, files=tuple(one for one in inputs.files if one.image_id in in_report))
