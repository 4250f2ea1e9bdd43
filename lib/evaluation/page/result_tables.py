"""Tables of what was measured: detection, segmentation and volume of each sequence in each group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from lib.evaluation.figures import DetectionResult, FrocCurve
from lib.evaluation.groups import ALL
from lib.evaluation.page.table import Row, RowGroup, Table, by_sequence, criteria_of
from lib.evaluation.page.wording import (
    DASH,
    REGION_TITLES,
    estimate,
    mean_sd,
    median,
    median_quartiles,
    number,
    percent,
    proportion,
    quartiles,
    sequence_title,
    span,
)
from lib.evaluation.report import GroupResult, Report
from lib.evaluation.results import MASS_REGION

FROC_LEVELS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # false positives per scan, as FROC challenges read curves


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


def summary(report: Report) -> Table:
    """One row a sequence: what most readers look for first."""
    rows = [
        (
            sequence_title(row.sequence),
            f"{row.images} / {row.patients}",
            str(row.masses),
            _region_cell(row, MASS_REGION, "dice", median),
            *_first(row.detection, "overlap"),
        )
        for row in report.results
        if row.group == ALL
    ]
    return Table(
        name="summary",
        caption="Every sequence at a glance, all scored images",
        columns=(
            "sequence",
            "images / patients",
            "masses",
            "median DSC of the mass",
            "masses found",
            "false positives per scan",
        ),
        groups=[RowGroup(title="", rows=rows)],
        absent="No image was scored, so there is nothing to sum up.",
        note="In brackets: intervals, and counts of what was found. Found: any overlap.",
    )


def _first(results: Iterable[DetectionResult], criterion: str) -> Row:
    found = [row for row in results if row.criterion == criterion]
    return (proportion(found[0].masses), estimate(found[0].per_scan, 2)) if found else (DASH, DASH)


def detection(report: Report) -> list[Table]:
    """Masses found, patients found and false positives, by three criteria side by side."""
    criteria = criteria_of(report)
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
            groups=by_sequence(report.results, row_of(name)),
            absent="No image was scored.",
        )
        for name, (caption, _, _) in cells.items()
    ]


def any_sequence(report: Report) -> Table:
    """Patients found in at least one of their sequences."""
    criteria = criteria_of(report)
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
        groups=by_sequence(report.results, cells),
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
    ordered = sorted(names, key=lambda name: name != MASS_REGION)
    tables = [
        Table(
            name=f"region-{index}",
            caption=f"Segmentation of {REGION_TITLES.get(name, name)}, per patient",
            columns=columns,
            groups=by_sequence(report.results, _region_row(name)),
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
        groups=by_sequence(
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
        groups=by_sequence(report.results, cells),
        absent="No image was scored.",
    )


def _found(row: GroupResult, criterion: str, write: Callable[[DetectionResult], str]) -> str:
    return next((write(found) for found in row.detection if found.criterion == criterion), DASH)
