"""Score every case, in several processes; an interrupted run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from lib.evaluation.cases import CaseFiles, Measure, Outcome, score_files

CHUNK = 4  # cases handed to a process at a time


def score_cases(
    files: Sequence[CaseFiles],
    measure: Measure,
    *,
    second: bool = False,
    workers: int = 1,
    on_case: Callable[[int], None] | None = None,
) -> dict[str, Outcome]:
    """Score one prediction of every case.

    Args:
        files: The cases.
        measure: What to measure, and where scores are kept.
        second: The predictions to compare with; cases that have none are left out.
        workers: Processes; the number changes no score.
        on_case: Called with the number of cases done so far.

    Returns:
        Outcomes by image id, in the order of the cases.
    """
    todo = [case for case in files if case.compared] if second else files
    outcomes = {}
    score = partial(_score, measure=measure, second=second)
    for number, (case, outcome) in enumerate(zip(todo, _mapped(score, todo, workers), strict=True), start=1):
        outcomes[case.image_id] = outcome
        if on_case:
            on_case(number)
    return outcomes


def _mapped(score: Callable[[CaseFiles], Outcome], todo: Sequence[CaseFiles], workers: int) -> Iterator[Outcome]:
    if workers == 1:
        yield from map(score, todo)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(score, todo, chunksize=CHUNK)


def _score(case: CaseFiles, *, measure: Measure, second: bool) -> Outcome:
    return score_files(case, case.compared if second else case.prediction, measure)
