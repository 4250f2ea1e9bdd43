"""Detection of masses and patients by each criterion, and the FROC curve."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from lib.domain.criteria import CRITERIA, Criterion
from lib.evaluation.figures import DetectionResult, FrocCurve, FrocPoint, Proportion
from lib.evaluation.report import AnySequenceResult, CaseResult
from lib.evaluation.statistics import PatientBootstrap, proportion

MOST_POINTS = 100  # of one FROC curve


def detection(cases: Sequence[CaseResult], criterion: Criterion, bootstrap: PatientBootstrap) -> DetectionResult:
    """Count found masses, found patients and false positives."""
    wrong = [false_positives(case, criterion) for case in cases]
    return DetectionResult(
        criterion=criterion,
        masses=masses_found(cases, criterion, bootstrap.confidence),
        patients=patients_found(cases, criterion, bootstrap.confidence),
        false_positives=sum(wrong),
        per_scan=bootstrap.mean(wrong, [case.patient for case in cases]),
    )


def false_positives(case: CaseResult, criterion: Criterion) -> int:
    """Predicted masses of an image that find nothing."""
    return sum(not mass.finds[criterion] for mass in case.predicted)


def masses_found(cases: Sequence[CaseResult], criterion: Criterion, confidence: float) -> Proportion:
    """Reference masses that were found."""
    hits = [(mass.found_at[criterion] is not None, case.patient) for case in cases for mass in case.masses]
    return proportion([hit for hit, _ in hits], [patient for _, patient in hits], confidence)


def patients_found(cases: Sequence[CaseResult], criterion: Criterion, confidence: float) -> Proportion:
    """Patients with a mass of whom at least one mass was found in at least one of these images."""
    found = found_by_patient(cases, criterion)
    return proportion(list(found.values()), list(found), confidence)


def found_by_patient(cases: Sequence[CaseResult], criterion: Criterion) -> dict[int, bool]:
    """For each patient with a mass, by number, whether any was found."""
    found: dict[int, bool] = defaultdict(bool)
    for case in cases:
        if case.masses:
            found[case.patient] |= any(mass.found_at[criterion] is not None for mass in case.masses)
    return dict(sorted(found.items()))


def any_sequence(cases: Sequence[CaseResult], group: str, confidence: float) -> list[AnySequenceResult]:
    """Patients of a group found in at least one of their sequences, by each criterion."""
    inside = [case for case in cases if group in case.groups]
    return [
        AnySequenceResult(group=group, criterion=one, patients=patients_found(inside, one, confidence))
        for one in CRITERIA
    ]


def froc(cases: Sequence[CaseResult], criterion: Criterion) -> FrocCurve:
    """Sensitivity against false positives as the threshold falls through every score; at most MOST_POINTS of them."""
    scores = sorted({mass.score for case in cases for mass in case.predicted}, reverse=True)
    if not cases or not scores:
        return FrocCurve(criterion=criterion, points=())
    found = [mass.found_at[criterion] for case in cases for mass in case.masses]
    at = np.sort([one for one in found if one is not None])
    wrong = np.sort([mass.score for case in cases for mass in case.predicted if not mass.finds[criterion]])
    kept = np.unique(np.linspace(0, len(scores) - 1, min(len(scores), MOST_POINTS)).round().astype(int))
    points = [
        FrocPoint(
            threshold=threshold,
            sensitivity=float(len(at) - np.searchsorted(at, threshold)) / len(found) if found else 0.0,
            false_positives_per_scan=float(len(wrong) - np.searchsorted(wrong, threshold)) / len(cases),
        )
        for threshold in (scores[index] for index in kept)
    ]
    return FrocCurve(criterion=criterion, points=tuple(points))
