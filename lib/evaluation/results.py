"""Figures of one sequence in one group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from lib.domain.criteria import CRITERIA
from lib.domain.records import RegionScore
from lib.domain.structures import REGIONS
from lib.evaluation.detection import detection, froc
from lib.evaluation.figures import RegionResult, Summary
from lib.evaluation.report import CaseResult, GroupResult
from lib.evaluation.statistics import PatientBootstrap, bland_altman, summarise

MASS_REGION = "mass"
MEASURES = ("dice", "surface_dice", "hd95_mm", "volume_error_ml", "volume_error_relative")


def group_result(cases: Sequence[CaseResult], *, sequence: str, group: str, bootstrap: PatientBootstrap) -> GroupResult:
    """Summarise images of one sequence and group."""
    masses = [(mass, case.patient) for case in cases for mass in case.masses]
    volumes = [(score, case.patient) for case in cases if (score := region_of(case, MASS_REGION))]
    return GroupResult(
        sequence=sequence,
        group=group,
        images=len(cases),
        patients=len({case.patient for case in cases}),
        patients_with_mass=len({patient for _, patient in masses}),
        masses=len(masses),
        detection=tuple(detection(cases, criterion, bootstrap) for criterion in CRITERIA),
        froc=tuple(froc(cases, criterion) for criterion in CRITERIA),
        regions=tuple(_region_result(cases, region, bootstrap) for region in REGIONS),
        mass_dice=summarise([mass.dice for mass, _ in masses], [patient for _, patient in masses], bootstrap),
        volume_agreement=bland_altman(
            [score.predicted_ml for score, _ in volumes],
            [score.reference_ml for score, _ in volumes],
            [patient for _, patient in volumes],
            bootstrap,
        ),
    )


def region_of(case: CaseResult, region: str) -> RegionScore | None:
    """Scores of a region that was drawn and that the reference holds; None otherwise."""
    score = case.regions.get(region)
    return score if score and score.reference_ml > 0 else None


def _region_result(cases: Sequence[CaseResult], region: str, bootstrap: PatientBootstrap) -> RegionResult:
    measures = {name: per_patient(cases, region, name) for name in MEASURES}
    return RegionResult(
        region=region, measures={name: _summary(values, bootstrap) for name, values in measures.items()}
    )


def _summary(values: dict[int, float | None], bootstrap: PatientBootstrap) -> Summary:
    return summarise(list(values.values()), list(values), bootstrap)


def per_patient(cases: Sequence[CaseResult], region: str, measure: str) -> dict[int, float | None]:
    """A measure by patient number: the mean of the patient's images, None where none of them defines it."""
    values: dict[int, list[float]] = defaultdict(list)
    for case in cases:
        score = region_of(case, region)
        if score:
            value = getattr(score, measure)
            values[case.patient] += [] if value is None else [value]
    return {patient: fmean(found) if found else None for patient, found in sorted(values.items())}
