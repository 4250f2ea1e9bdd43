"""Scores, the cohort's table and the predictions' table made into the report's cases."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lib.domain.criteria import CRITERIA, Criterion
from lib.domain.records import CaseRecord
from lib.evaluation.cases import Outcome, Scored
from lib.evaluation.groups import GroupRule, value_of
from lib.evaluation.predictions import Predictions
from lib.evaluation.report import CaseResult, FrocScore, PredictedMass, Problem, ReferenceMass

SIZE_COLUMN = "size_mm"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseContext:
    """What cases are described by, beside their scores.

    Attributes:
        records: Of the whole cohort; they number the patients.
        predictions: The folder that was scored.
        factors: Columns of the subgroups and the regression.
        size_from_label: Else from the column ``size_mm``.
    """

    records: Sequence[CaseRecord]
    predictions: Predictions
    groups: Sequence[GroupRule]
    factors: Sequence[str]
    size_from_label: bool


def assemble(outcomes: Mapping[str, Outcome], context: CaseContext) -> tuple[list[CaseResult], FrocScore]:
    """Make a case of every scored image, in the order of image ids.

    Args:
        outcomes: By image id.
        context: What cases are described by.

    Returns:
        The cases, and what the scores of predicted masses are: confidence only when each of them has one.
    """
    patients = {name: number for number, name in enumerate(sorted({r.patient_id for r in context.records}), start=1)}
    confidences = {
        image_id: [context.predictions.confidence(image_id, one.centre_ras) for one in outcome.scored.predicted]
        for image_id, outcome in outcomes.items()
        if outcome.scored
    }
    stated = [one for row in confidences.values() for one in row]
    complete = bool(stated) and None not in stated
    cases = []
    for record in context.records:
        outcome = outcomes.get(record.image_id)
        if outcome and outcome.scored:
            given = confidences[record.image_id] if complete else []
            scores = [one for one in given if one is not None] or [one.volume_ml for one in outcome.scored.predicted]
            cases.append(_case(record, outcome, _masses(outcome.scored, scores), context, patients[record.patient_id]))
    return cases, "confidence" if complete else "volume_ml"


_Masses = tuple[tuple[ReferenceMass, ...], tuple[PredictedMass, ...]]


def _masses(scored: Scored, scores: Sequence[float]) -> _Masses:
    def found_at(criterion: Criterion, index: int) -> float | None:
        finding = (score for score, one in zip(scores, scored.predicted, strict=True) if index in one.finds[criterion])
        return max(finding, default=None)

    references = tuple(
        ReferenceMass(
            volume_ml=mass.volume_ml,
            diameter_mm=mass.diameter_mm,
            dice=mass.dice,
            found_at={name: found_at(name, index) for name in CRITERIA},
        )
        for index, mass in enumerate(scored.masses)
    )
    predicted = tuple(
        PredictedMass(volume_ml=one.volume_ml, score=score, finds={name: bool(one.finds[name]) for name in CRITERIA})
        for score, one in zip(scores, scored.predicted, strict=True)
    )
    return references, predicted


def _case(record: CaseRecord, outcome: Outcome, masses: _Masses, context: CaseContext, patient: int) -> CaseResult:
    references, predicted = masses
    return CaseResult(
        image_id=record.image_id,
        patient=patient,
        sequence=record.sequence,
        groups=tuple(group.name for group in context.groups if group.holds(record)),
        factors={name: value_of(record, name) for name in context.factors},
        model_version=context.predictions.model_version(record.image_id),
        prediction="file" if outcome.prediction_sha256 else "counted as empty",
        reference_sha256=outcome.reference_sha256,
        prediction_sha256=outcome.prediction_sha256,
        size_mm=_size_mm(record, references, from_label=context.size_from_label),
        regions=outcome.scored.regions if outcome.scored else {},
        masses=references,
        predicted=predicted,
    )


def _size_mm(record: CaseRecord, masses: Sequence[ReferenceMass], *, from_label: bool) -> float | None:
    if from_label:
        return max((mass.diameter_mm for mass in masses), default=None)
    return number_in(record.clinical.get(SIZE_COLUMN, ""))


def number_in(text: str) -> float | None:
    """The number that a text holds; None when it holds none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def case_problems(cases: Iterable[CaseResult], records: Mapping[str, CaseRecord]) -> list[Problem]:
    """What is noteworthy about scored images: no mass in the reference, a size that is no number."""
    problems = []
    for case in cases:
        size = records[case.image_id].clinical.get(SIZE_COLUMN, "")
        if not case.masses:
            problems.append(
                Problem(
                    kind="empty_reference",
                    image_id=case.image_id,
                    seen="a label without a mass",
                    expected="a mass, for detection and overlap",
                    effect="counted for false positives only",
                )
            )
        if size and number_in(size) is None:
            problems.append(
                Problem(
                    kind="unknown_value",
                    image_id=case.image_id,
                    seen=f"{SIZE_COLUMN} {size!r}",
                    expected="a number of millimetres",
                    effect="size unknown, if taken from the column",
                )
            )
    return problems
