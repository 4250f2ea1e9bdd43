"""The tables of the page: which rows and columns, and what stands in each cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lib.evaluation.figures import DetectionResult, FrocCurve, Regression, Subgroup, Term
from lib.evaluation.page.claim import ClaimAnswer
from lib.evaluation.page.wording import (
    DASH,
    MEASURE_TITLES,
    PROBLEM_TITLES,
    REGION_TITLES,
    count_of,
    criterion_title,
    estimate,
    mean_sd,
    median,
    median_quartiles,
    number,
    p_value,
    percent,
    proportion,
    quartiles,
    sequence_title,
    span,
    with_span,
)
from lib.evaluation.report import GroupResult, Options, Problem, Report

FROC_LEVELS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # false positives per scan, as FROC challenges read curves
SHOWN_PROBLEMS = 25
_ROWS_OF_A_PAGE = 14
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroup:
    """Rows under one heading; none when it is empty."""

    title: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; the first cell of each row is its header.

    Attributes:
        name: Unique on the page.
        absent: The sentence in its place when it has no row.
        wordy: Whether its cells hold sentences.
    """

    name: str
    caption: str
    columns: Row
    groups: Sequence[RowGroup]
    absent: str
    note: str = ""
    wordy: bool = False

    @property
    def filled(self) -> bool:
        """Whether there is any row."""
        return any(group.rows for group in self.groups)

    @property
    def short(self) -> bool:
        """Whether it is short enough to be kept on one page of paper."""
        return sum(1 + len(group.rows) for group in self.groups) <= _ROWS_OF_A_PAGE and not self.wordy


def groups(report: Report) -> Table:
    """Which images are looked at together."""
    rows = [(group.name, str(group.images), str(group.patients), group.rule) for group in report.groups]
    return Table(
        name="groups",
        caption="Groups of images",
        columns=("group", "images", "patients", "rule"),
        groups=[RowGroup(title="", rows=rows)],
        absent="No group was formed.",
        wordy=True,
    )


def summary(report: Report, group: str) -> Table:
    """One row a sequence: what most readers look for first."""
    rows = [
        (
            sequence_title(row.sequence),
            f"{row.images} / {row.patients}",
            str(row.masses),
            _region_cell(row, "mass", "dice", median),
            *_first(row.detection, "overlap"),
        )
        for row in report.results
        if row.group == group
    ]
    return Table(
        name="summary",
        caption="Every sequence at a glance, all scored images",
        columns=("sequence", "images / patients", "masses", "median DSC of the mass", "masses found", "false positives per scan"),
        groups=[RowGroup(title="", rows=rows)],
        absent="No image was scored, so there is nothing to sum up.",
        note="In brackets: intervals, and counts of what was found. Found: any overlap.",
    )


def _first(results: Iterable[DetectionResult], criterion: str) -> Row:
    found = [row for row in results if row.criterion == criterion]
    return (proportion(found[0].masses), estimate(found[0].per_scan, 2)) if found else (DASH, DASH)


def detection(report: Report) -> list[Table]:
    """Masses found, patients found and false positives, by three criteria side by side."""
    criteria = _criteria(report)
    cells: Mapping[str, tuple[str, Callable[[DetectionResult], str], Callable[[GroupResult], int]]] = {
        "masses": ("Masses found", lambda found: proportion(found.masses), lambda row: row.masses),
        "patients": (
            "Patients with a mass who were found",
            lambda found: proportion(found.patients),
            lambda row: row.patients_with_mass,
        ),
        "false-positives": (
            "False positives per scan",
            lambda found: estimate(found.per_scan, 2),
            lambda row: row.images,
        ),
    }
    counted = {"masses": "masses", "patients": "patients with a mass", "false-positives": "images"}

    def row_of(name: str) -> Callable[[GroupResult], Row]:
        _, cell, total = cells[name]
        return lambda row: (row.group, str(total(row)), *(_found(row, code, cell) for code in criteria))

    return [
        Table(
            name=f"detected-{name}",
            caption=caption,
            columns=("group", counted[name], *criteria.values()),
            groups=_by_sequence(report.results, row_of(name)),
            absent="No image was scored.",
        )
        for name, (caption, _, _) in cells.items()
    ]


def any_sequence(report: Report) -> Table:
    """Patients found in at least one of their sequences."""
    criteria = _criteria(report)
    found = {(row.group, row.criterion): row.patients for row in report.any_sequence}
    rows = [
        (name, *(proportion(found[name, code]) if (name, code) in found else DASH for code in criteria))
        for name in dict.fromkeys(row.group for row in report.any_sequence)
    ]
    return Table(
        name="any-sequence",
        caption="Patients found in at least one of their sequences",
        columns=("group", *criteria.values()),
        groups=[RowGroup(title="", rows=rows)],
        absent="No patient with a mass was scored.",
    )


def froc(report: Report) -> Table:
    """Sensitivity at fixed numbers of false positives, by any overlap."""
    curves = {
        (row.sequence, row.group): curve for row in report.results for curve in row.froc if curve.criterion == "overlap"
    }

    def cells(row: GroupResult) -> Row:
        curve = curves.get((row.sequence, row.group)) if row.masses else None
        return (row.group, *(DASH if curve is None else percent(sensitivity_at(curve, level)) for level in FROC_LEVELS))

    return Table(
        name="froc",
        caption="Sensitivity per mass at no more than so many false positives per scan (any overlap)",
        columns=("group", *(f"{level:g}" for level in FROC_LEVELS)),
        groups=_by_sequence(report.results, cells),
        absent="No image was scored.",
        note="Read from the curve as it is, without interpolation.",
    )


def sensitivity_at(curve: FrocCurve, level: float) -> float:
    """The best sensitivity with at most ``level`` false positives per scan; 0 when no threshold gives that."""
    return max((point.sensitivity for point in curve.points if point.false_positives_per_scan <= level), default=0.0)


def segmentation(report: Report) -> list[Table]:
    """Overlap, distances and volume error: a table a region, and one of single masses."""
    tolerance = report.provenance.options.surface_tolerance_mm
    columns = (
        "group",
        "patients",
        "DSC, median (interval)",
        "quartiles",
        "mean ± SD",
        f"surface Dice at {tolerance:g} mm (quartiles)",
        "HD95, mm (quartiles)",
        "without HD95",
        "volume error, ml (quartiles)",
        "relative (quartiles)",
    )
    names = dict.fromkeys(region.region for row in report.results for region in row.regions)
    ordered = sorted(names, key=lambda name: name != "mass")
    tables = [
        Table(
            name=f"region-{index}",
            caption=f"Segmentation of {REGION_TITLES.get(name, name)}, per patient",
            columns=columns,
            groups=_by_sequence(report.results, _region_row(name)),
            absent="No image was scored.",
            note="Without HD95: patients with an empty prediction, for whom it is not defined.",
        )
        for index, name in enumerate(ordered)
    ]
    return [*tables[:1], _single_masses(report), *tables[1:]]


def _region_row(name: str) -> Callable[[GroupResult], Row]:
    def cells(row: GroupResult) -> Row:
        measures = next((region.measures for region in row.regions if region.region == name), {})
        dice, distance = measures.get("dice"), measures.get("hd95_mm")
        return (
            row.group,
            str(dice.n) if dice else "0",
            median(dice) if dice else DASH,
            quartiles(dice) if dice else DASH,
            mean_sd(dice) if dice else DASH,
            _region_cell(row, name, "surface_dice", median_quartiles),
            median_quartiles(distance, 1) if distance else DASH,
            str(distance.undefined) if distance else DASH,
            _region_cell(row, name, "volume_error_ml", lambda figure: median_quartiles(figure, 2)),
            _region_cell(row, name, "volume_error_relative", lambda figure: median_quartiles(figure, 2)),
        )

    return cells


def _region_cell(row: GroupResult, region: str, measure: str, write: Callable[..., str]) -> str:
    figures = next((result.measures for result in row.regions if result.region == region), {})
    return write(figures[measure]) if measure in figures else DASH


def _single_masses(report: Report) -> Table:
    return Table(
        name="single-masses",
        caption="DSC of single masses; a missed one counts as 0",
        columns=("group", "masses", "median (interval)", "quartiles", "mean ± SD"),
        groups=_by_sequence(
            report.results,
            lambda row: (
                row.group,
                str(row.mass_dice.n),
                median(row.mass_dice),
                quartiles(row.mass_dice),
                mean_sd(row.mass_dice),
            ),
        ),
        absent="No mass was scored.",
    )


def volumes(report: Report) -> Table:
    """Agreement of mass volumes."""

    def cells(row: GroupResult) -> Row:
        agreement = row.volume_agreement
        limits = span(agreement.lower, agreement.upper, 2)
        return row.group, str(agreement.n), estimate(agreement.bias, 2), number(agreement.sd, 2), limits

    return Table(
        name="volumes",
        caption="Agreement of the mass volume, predicted minus reference, ml",
        columns=("group", "images", "bias (interval)", "SD", "95 % limits of agreement"),
        groups=_by_sequence(report.results, cells),
        absent="No image was scored.",
    )


def subgroups(report: Report) -> list[Table]:
    """Figures of each level: a table a sequence."""
    criteria = _criteria(report)

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
            caption=f"Subgroups, {sequence_title(code)}",
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
        caption=f"Linear regression of the DSC, {sequence_title(row.sequence)}",
        columns=("term", "change in DSC (interval)", "standard error", "p", "VIF"),
        groups=[RowGroup(title="", rows=[(*_term(term), number(term.vif, 2)) for term in row.terms])],
        absent=f"No coefficients: {row.reason}",
        note=f"{fit}; {count_of(row.excluded, 'image')} left out. {row.reason}".strip(),
    )


def mixed_model(row: Regression, index: int) -> Table:
    """Coefficients of the mixed model that stands beside it."""
    mixed = row.mixed
    return Table(
        name=f"mixed-{index}",
        caption=f"Mixed model with the patient as random effect, {sequence_title(row.sequence)}",
        columns=("term", "change in DSC (interval)", "standard error", "p"),
        groups=[RowGroup(title="", rows=[_term(term) for term in mixed.terms])],
        absent=f"No mixed model: {mixed.reason}",
        note=(
            f"{count_of(mixed.n, 'image')} of {count_of(mixed.patients, 'patient')}; standard deviation between "
            f"patients {number(mixed.patient_sd)}, within {number(mixed.residual_sd)}. {mixed.reason}"
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
    options = report.provenance.options
    return Table(
        name="comparison",
        caption="Two models on the same images, second minus first",
        columns=("measure", "group", "pairs", "patients", "first", "second", "difference (interval)"),
        groups=[
            RowGroup(
                title=sequence_title(code),
                rows=[
                    (
                        _measure(row.measure, row.criterion and criterion_title(row.criterion, options)),
                        row.group,
                        str(row.n),
                        str(row.patients),
                        number(row.first),
                        number(row.second),
                        estimate(row.difference),
                    )
                    for row in results
                    if row.sequence == code
                ],
            )
            for code in dict.fromkeys(row.sequence for row in results)
        ],
        absent="One set of predictions was given, so there is nothing to compare.",
    )


def _measure(name: str, criterion: str | None) -> str:
    title = MEASURE_TITLES.get(name, name)
    return f"{title} ({criterion})" if criterion else title


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


def problems(report: Report) -> Table:
    """Everything that was not as expected, by kind; long lists are cut and say so."""
    by_kind: dict[str, list[Problem]] = {}
    for problem in report.problems:
        by_kind.setdefault(PROBLEM_TITLES.get(problem.kind, problem.kind), []).append(problem)
    return Table(
        name="problems",
        caption="What was not as expected",
        columns=("image", "seen", "expected", "what was done"),
        groups=[RowGroup(title=f"{title}: {len(found)}", rows=_problem_rows(found)) for title, found in by_kind.items()],
        absent="Everything could be scored; nothing unexpected was seen.",
        wordy=True,
    )


def _problem_rows(found: Sequence[Problem]) -> list[Row]:
    rows = [(row.image_id or "the cohort", row.seen, row.expected, row.effect) for row in found[:SHOWN_PROBLEMS]]
    more = len(found) - SHOWN_PROBLEMS
    return [*rows, (f"and {more:,} more", "listed in report.json", DASH, DASH)] if more > 0 else rows


def claim(answers: Mapping[str, Sequence[ClaimAnswer]]) -> Table:
    """The checklist as far as it can be filled."""
    return Table(
        name="claim",
        caption="What a paper should say, and what this report knows of it",
        columns=("item", "status", "what is known"),
        groups=[
            RowGroup(
                title=section,
                rows=[(f"{row.item}. {row.wording}", row.status, row.text or DASH) for row in rows],
            )
            for section, rows in answers.items()
        ],
        absent="The checklist is empty.",
        wordy=True,
    )


def provenance(report: Report) -> Table:
    """What makes each figure traceable."""
    source = report.provenance
    rows = [
        ("renal-loop", source.software_version),
        ("definitions of the metrics", source.metrics_version),
        ("schema of report.json", report.schema_version),
        *((name, version) for name, version in source.libraries.items()),
        ("SHA-256 of the labels", source.labels_sha256),
        ("SHA-256 of the patient list", source.patients_sha256),
    ]
    for predictions in filter(None, (source.predictions, source.comparison)):
        rows.append((f"SHA-256 of the {predictions.name} predictions", predictions.sha256))
    rows += _options(source.options)
    return Table(
        name="provenance",
        caption="Versions, options and hashes",
        columns=("what", "value"),
        groups=[RowGroup(title="", rows=rows)],
        absent="Nothing is known.",
        wordy=True,
    )


def _options(options: Options) -> list[Row]:
    return [
        ("missing predictions", options.missing),
        ("internal centres", ", ".join(options.internal_centres) or "by the rule of the group"),
        ("further groups", ", ".join(options.group_by) or "none"),
        ("factors", ", ".join(options.factors) or "none"),
        ("sizes from", options.size_from),
        ("surface tolerance, mm", f"{options.surface_tolerance_mm:g}"),
        ("IoU threshold", f"{options.iou_threshold:g}"),
        ("bootstrap draws", f"{options.bootstrap_draws}"),
        ("level of intervals", f"{options.confidence:g}"),
        ("seed", f"{options.seed}"),
    ]


def _by_sequence(results: Sequence[GroupResult], cells: Callable[[GroupResult], Row]) -> list[RowGroup]:
    return [
        RowGroup(title=sequence_title(code), rows=[cells(row) for row in results if row.sequence == code])
        for code in dict.fromkeys(row.sequence for row in results)
    ]


def _criteria(report: Report) -> dict[str, str]:
    codes = dict.fromkeys(found.criterion for row in report.results for found in row.detection)
    return {code: criterion_title(code, report.provenance.options) for code in codes}


def _found(row: GroupResult, criterion: str, write: Callable[[DetectionResult], str]) -> str:
    return next((write(found) for found in row.detection if found.criterion == criterion), DASH)
