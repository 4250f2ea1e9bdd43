"""Tables of what was concluded: subgroups, regression, two models, and the published study."""

from __future__ import annotations

from lib.evaluation.figures import PairedResult, Regression, Subgroup, Term
from lib.evaluation.page.table import Row, RowGroup, Table, criteria_of
from lib.evaluation.page.wording import (
    DASH,
    MEASURE_TITLES,
    count_of,
    criterion_title,
    estimate,
    median,
    number,
    p_value,
    proportion,
    quartiles,
    sentence,
    sequence_title,
    with_span,
)
from lib.evaluation.report import Options, Report


def subgroups(report: Report) -> list[Table]:
    """Figures of each level: a table a sequence."""
    criteria = criteria_of(report)

    def rows_of(row: Subgroup) -> RowGroup:
        rows = [
            (
                level.level or DASH,
                str(level.images),
                str(level.patients),
                str(level.masses),
                median(level.dice),
                quartiles(level.dice),
                *(proportion(level.detection[code]) if code in level.detection else DASH for code in criteria),
            )
            for level in row.levels
        ]
        return RowGroup(title=f"{row.factor}, per {row.unit} ({row.source})", rows=rows)

    return [
        Table(
            name=f"subgroups-{index}",
            caption=f"{sequence_title(code)}: subgroups",
            columns=(
                "subgroup",
                "images",
                "patients",
                "masses",
                "DSC, median (interval)",
                "quartiles",
                *(f"found: {title}" for title in criteria.values()),
            ),
            groups=[rows_of(row) for row in report.subgroups if row.sequence == code],
            absent="No subgroup was formed.",
        )
        for index, code in enumerate(dict.fromkeys(row.sequence for row in report.subgroups))
    ]


def subgroup_tests(report: Report) -> Table:
    """Whether subgroups differ."""
    outcomes = {"dice": "DSC", "detection": "found (any overlap)"}

    def rows_of(code: str) -> list[Row]:
        return [
            (
                row.factor,
                outcomes[test.outcome],
                test.test or "none",
                str(test.n),
                str(test.levels),
                number(test.statistic, 2),
                p_value(test.p),
                p_value(test.p_holm),
                test.note or DASH,
            )
            for row in report.subgroups
            if row.sequence == code
            for test in row.tests
        ]

    return Table(
        name="subgroup-tests",
        caption="Tests between subgroups",
        columns=("factor", "outcome", "test", "patients", "levels", "statistic", "p", "p after Holm", "note"),
        groups=[
            RowGroup(title=sequence_title(code), rows=rows_of(code))
            for code in dict.fromkeys(row.sequence for row in report.subgroups)
        ],
        absent="No test was made.",
    )


def regression(row: Regression, index: int) -> Table:
    """Coefficients of one linear model."""
    fit = f"{count_of(row.n, 'image')}, R² {number(row.r2)}, adjusted {number(row.r2_adjusted)}"
    return Table(
        name=f"regression-{index}",
        caption=f"{sequence_title(row.sequence)}: linear regression of the DSC",
        columns=("term", "change in DSC (interval)", "standard error", "p", "VIF"),
        groups=[RowGroup(title="", rows=[(*_term(term), number(term.vif, 2)) for term in row.terms])],
        absent=f"No coefficients: {sentence(row.reason)}",
        note=f"{fit}; {count_of(row.excluded, 'image')} left out. {sentence(row.reason)}".strip(),
    )


def mixed_model(row: Regression, index: int) -> Table:
    """Coefficients of the mixed model that stands beside it."""
    mixed = row.mixed
    return Table(
        name=f"mixed-{index}",
        caption=f"{sequence_title(row.sequence)}: mixed model with the patient as random effect",
        columns=("term", "change in DSC (interval)", "standard error", "p"),
        groups=[RowGroup(title="", rows=[_term(term) for term in mixed.terms])],
        absent=f"No mixed model: {sentence(mixed.reason)}",
        note=(
            f"{count_of(mixed.n, 'image')} of {count_of(mixed.patients, 'patient')}; standard deviation between "
            f"patients {number(mixed.patient_sd)}, within {number(mixed.residual_sd)}. {sentence(mixed.reason)}"
        ).strip(),
    )


def _term(term: Term) -> Row:
    against = f" (against {term.reference})" if term.reference else f" (per {term.unit})" if term.unit else ""
    return (
        f"{term.name}{against}",
        with_span(term.estimate, term.low, term.high, 4),
        number(term.se, 4),
        p_value(term.p),
    )


def comparison(report: Report) -> Table:
    """Paired differences of two models."""
    results = report.comparison.results if report.comparison else ()

    def row_of(row: PairedResult) -> Row:
        return (
            _measure(row, report.provenance.options),
            str(row.n),
            str(row.patients),
            number(row.first),
            number(row.second),
            estimate(row.difference),
        )

    return Table(
        name="comparison",
        caption="Two models on the same images, second minus first",
        columns=("measure", "pairs", "patients", "first", "second", "difference (interval)"),
        groups=[
            RowGroup(
                title=f"{sequence_title(code)}, group {group}",
                rows=[row_of(row) for row in results if (row.sequence, row.group) == (code, group)],
            )
            for code, group in dict.fromkeys((row.sequence, row.group) for row in results)
        ],
        absent="One set of predictions was given, so there is nothing to compare.",
    )


def _measure(row: PairedResult, options: Options) -> str:
    title = MEASURE_TITLES.get(row.measure, row.measure)
    return f"{title} ({criterion_title(row.criterion, options)})" if row.criterion else title


def published(report: Report) -> Table:
    """Ours beside the published study."""
    rows = [
        (fact.fact, fact.published, fact.observed, "yes" if fact.comparable else "no", fact.why)
        for fact in report.published
    ]
    return Table(
        name="published",
        caption="The published study and this cohort",
        columns=("figure", "published", "here", "comparable?", "why, or why not"),
        groups=[RowGroup(title="", rows=rows)],
        absent="No published figure is known for this cohort.",
        wordy=True,
    )
