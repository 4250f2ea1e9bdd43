"""From scores to the report: groups, figures, tests, models, and where everything came from."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Literal

from lib import __version__
from lib.domain.sequences import SEQUENCES
from lib.evaluation.assemble import CaseContext, assemble, case_problems
from lib.evaluation.cases import Outcome
from lib.evaluation.compare import compare
from lib.evaluation.detection import any_sequence
from lib.evaluation.groups import GroupRule, chosen_columns, default_factors, group_rules
from lib.evaluation.inputs import Inputs
from lib.evaluation.predictions import Predictions
from lib.evaluation.published import published_facts
from lib.evaluation.regression import EVERY, regression
from lib.evaluation.report import (
    SCHEMA_VERSION,
    CaseResult,
    Comparison,
    Counts,
    FrocScore,
    Group,
    GroupResult,
    Options,
    PredictionSource,
    Problem,
    Provenance,
    Report,
)
from lib.evaluation.results import group_result
from lib.evaluation.statistics import PatientBootstrap
from lib.evaluation.subgroups import subgroups
from lib.imaging.metrics import METRICS_VERSION

LIBRARIES = ("numpy", "scipy", "statsmodels")
Outcomes = Mapping[str, Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is asked for and there is."""

    options: Options
    rules: Sequence[GroupRule]
    factors: tuple[str, ...]
    bootstrap: PatientBootstrap

    @property
    def from_label(self) -> bool:
        return self.options.size_from == "label"


def make_report(inputs: Inputs, first: Outcomes, second: Outcomes | None, options: Options) -> Report:
    """Make the report.

    Args:
        inputs: What there is.
        first: Scores by image id.
        second: Scores of the predictions to compare with; None without them.
        options: What is asked for.
    """
    plan, problems = _plan(inputs, options)
    cases, score = assemble(first, _context(inputs, inputs.first, plan))
    sequences = _sequences(cases)
    results = _results(cases, sequences, plan)
    comparison, unpaired = _comparison(inputs, cases, second, plan)
    counts = _counts(inputs, cases)
    records = {record.image_id: record for record in inputs.records}
    return Report(
        schema_version=SCHEMA_VERSION,
        provenance=_provenance(inputs, (first, second), cases, options, score),
        counts=counts,
        problems=(
            *problems,
            *inputs.problems,
            *_refused(first),
            *case_problems(cases, records),
            *_small(results),
            *unpaired,
        ),
        groups=tuple(_group(rule, cases) for rule in plan.rules),
        results=tuple(results),
        any_sequence=tuple(
            one
            for rule in plan.rules
            for one in any_sequence(cases, rule.name, options.confidence)
            if one.patients.total
        ),
        subgroups=tuple(
            table
            for sequence in sequences
            for table in subgroups(
                _of(cases, sequence),
                sequence=sequence,
                factors=plan.factors,
                from_label=plan.from_label,
                bootstrap=plan.bootstrap,
            )
        ),
        regressions=tuple(
            regression(some, sequence=sequence, factors=plan.factors, confidence=options.confidence)
            for sequence, some in [(EVERY, cases), *((code, _of(cases, code)) for code in sequences)]
            if some
        ),
        comparison=comparison,
        published=published_facts(cases, counts, results, options.confidence),
        cases=tuple(cases),
    )


def _plan(inputs: Inputs, options: Options) -> tuple[_Plan, list[Problem]]:
    rules, problems = group_rules(inputs.records, options)
    factors, unknown = chosen_columns(inputs.records, options.factors, "subgroups")
    plan = _Plan(
        options=options,
        rules=rules,
        factors=factors if options.factors else default_factors(inputs.records),
        bootstrap=PatientBootstrap(options.bootstrap_draws, options.confidence, options.seed),
    )
    return plan, [*problems, *unknown]


def _context(inputs: Inputs, predictions: Predictions, plan: _Plan) -> CaseContext:
    return CaseContext(
        records=inputs.records,
        predictions=predictions,
        groups=plan.rules,
        factors=plan.factors,
        size_from_label=plan.from_label,
    )


def _sequences(cases: Iterable[CaseResult]) -> list[str]:
    """Codes that were scored, in the order of the table; unknown ones last."""
    order = {code: number for number, code in enumerate(SEQUENCES)}
    return sorted({case.sequence for case in cases}, key=lambda code: (order.get(code, len(order)), code))


def _of(cases: Iterable[CaseResult], sequence: str) -> list[CaseResult]:
    return [case for case in cases if case.sequence == sequence]


def _results(cases: Sequence[CaseResult], sequences: Sequence[str], plan: _Plan) -> list[GroupResult]:
    return [
        group_result(inside, sequence=sequence, group=rule.name, bootstrap=plan.bootstrap)
        for sequence in sequences
        for rule in plan.rules
        if (inside := [case for case in _of(cases, sequence) if rule.name in case.groups])
    ]


def _small(results: Iterable[GroupResult]) -> list[Problem]:
    return [
        Problem(
            kind="small_group",
            seen=f"one patient in group {result.group!r} of sequence {result.sequence!r}",
            expected="at least two patients",
            effect="figures without intervals",
        )
        for result in results
        if result.patients == 1
    ]


def _comparison(
    inputs: Inputs, cases: Sequence[CaseResult], second: Outcomes | None, plan: _Plan
) -> tuple[Comparison | None, list[Problem]]:
    if second is None or inputs.second is None:
        return None, []
    others, _ = assemble(second, _context(inputs, inputs.second, plan))
    there = {case.image_id for case in others}
    unpaired = [
        Problem(
            kind="unpaired",
            image_id=case.image_id,
            seen="no usable prediction in the second set",
            expected="a prediction in both sets",
            effect="left out of the comparison",
        )
        for case in cases
        if case.image_id not in there
    ]
    names = [rule.name for rule in plan.rules]
    paired = compare(cases, others, groups=names, sequences=_sequences(cases), bootstrap=plan.bootstrap)
    refused = [replace(problem, effect=f"second set: {problem.effect}") for problem in _refused(second)]
    return paired, [*refused, *unpaired]


def _refused(outcomes: Outcomes) -> list[Problem]:
    return [problem for outcome in outcomes.values() for problem in outcome.problems]


def _counts(inputs: Inputs, cases: Sequence[CaseResult]) -> Counts:
    known = {record.image_id for record in inputs.records}
    return Counts(
        images=len(known),
        patients=len({record.patient_id for record in inputs.records}),
        labelled=inputs.labelled,
        predicted=len(known & inputs.first.files.keys()),
        scored=len(cases),
        excluded=len(known) - len(cases),
        scored_patients=len({case.patient for case in cases}),
        masses=sum(len(case.masses) for case in cases),
    )


def _group(rule: GroupRule, cases: Iterable[CaseResult]) -> Group:
    inside = [case for case in cases if rule.name in case.groups]
    return Group(name=rule.name, rule=rule.rule, images=len(inside), patients=len({case.patient for case in inside}))


def _provenance(
    inputs: Inputs,
    outcomes: tuple[Outcomes, Outcomes | None],
    cases: Sequence[CaseResult],
    options: Options,
    score: FrocScore,
) -> Provenance:
    first, second = outcomes
    scored = {case.image_id for case in cases}
    patients = sorted({record.patient_id for record in inputs.records if record.image_id in scored})
    compared = None if second is None or inputs.second is None else _source("second", inputs.second, second)
    return Provenance(
        software_version=__version__,
        metrics_version=METRICS_VERSION,
        libraries={name: version(name) for name in LIBRARIES},
        options=options,
        predictions=_source("first", inputs.first, first),
        comparison=compared,
        labels_sha256=_sha256(f"{case.image_id} {case.reference_sha256}" for case in cases),
        patients_sha256=_sha256(patients),
        froc_score=score,
    )


def _source(name: Literal["first", "second"], predictions: Predictions, outcomes: Outcomes) -> PredictionSource:
    used = {image_id: one for image_id, one in sorted(outcomes.items()) if one.scored and one.prediction_sha256}
    models: dict[str, set[str]] = defaultdict(set)
    for image_id in used:
        if stated := predictions.model_version(image_id):
            models[predictions.sequence(image_id)].add(stated)
    return PredictionSource(
        name=name,
        images=len(used),
        models={code: tuple(sorted(models[code])) for code in sorted(models)},
        sha256=_sha256(f"{image_id} {one.prediction_sha256}" for image_id, one in used.items()),
    )


def _sha256(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
