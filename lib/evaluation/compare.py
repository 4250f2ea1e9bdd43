"""Two prediction sets on the same images: paired differences, second minus first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lib.domain.criteria import CRITERIA, Criterion
from lib.evaluation.detection import false_positives, found_by_patient
from lib.evaluation.figures import PairedResult
from lib.evaluation.report import CaseResult, Comparison
from lib.evaluation.results import MASS_REGION, per_patient
from lib.evaluation.statistics import PatientBootstrap

MEASURES = ("dice", "surface_dice", "hd95_mm")
Pair = tuple[Sequence[CaseResult], Sequence[CaseResult]]
Values = list[tuple[int, float | None, float | None]]


def compare(
    first: Sequence[CaseResult],
    second: Sequence[CaseResult],
    *,
    groups: Sequence[str],
    sequences: Sequence[str],
    bootstrap: PatientBootstrap,
) -> Comparison:
    """Compare the images that both sets predicted, per sequence and group."""
    shared = {case.image_id for case in first} & {case.image_id for case in second}
    sides = tuple([case for case in one if case.image_id in shared] for one in (first, second))
    results = []
    for sequence in sequences:
        for group in groups:
            old, new = ([case for case in side if case.sequence == sequence and group in case.groups] for side in sides)
            if old:
                results += list(_results((old, new), sequence, group, bootstrap))
    return Comparison(images=len(shared), patients=len({case.patient for case in sides[0]}), results=tuple(results))


def _results(pair: Pair, sequence: str, group: str, bootstrap: PatientBootstrap) -> Iterator[PairedResult]:
    def result(measure: str, values: Values, criterion: Criterion | None = None) -> PairedResult:
        kept = [(patient, a, b) for patient, a, b in values if a is not None and b is not None]
        patients = [patient for patient, _, _ in kept]
        old, new = (bootstrap.mean([row[side] for row in kept], patients).value for side in (1, 2))
        return PairedResult(
            sequence=sequence,
            group=group,
            measure=measure,
            criterion=criterion,
            n=len(kept),
            patients=len(set(patients)),
            first=old,
            second=new,
            difference=bootstrap.mean([b - a for _, a, b in kept], patients),
        )

    for measure in MEASURES:
        old, new = (per_patient(side, MASS_REGION, measure) for side in pair)
        yield result(measure, [(patient, old[patient], new[patient]) for patient in old])
    for criterion in CRITERIA:
        for name, values_of in _DETECTION.items():
            yield result(name, values_of(pair, criterion), criterion)


def _patients(pair: Pair, criterion: Criterion) -> Values:
    old, new = (found_by_patient(side, criterion) for side in pair)
    return [(patient, float(old[patient]), float(new[patient])) for patient in old]


def _masses(pair: Pair, criterion: Criterion) -> Values:
    return [
        (case.patient, float(a.found_at[criterion] is not None), float(b.found_at[criterion] is not None))
        for case, other in zip(*pair, strict=True)
        for a, b in zip(case.masses, other.masses, strict=True)
    ]


def _false_positives(pair: Pair, criterion: Criterion) -> Values:
    return [
        (case.patient, float(false_positives(case, criterion)), float(false_positives(other, criterion)))
        for case, other in zip(*pair, strict=True)
    ]


_DETECTION: dict[str, Callable[[Pair, Criterion], Values]] = {
    "detected_patients": _patients,
    "detected_masses": _masses,
    "false_positives_per_scan": _false_positives,
}
