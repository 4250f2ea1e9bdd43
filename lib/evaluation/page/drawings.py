"""The figures of the page: what is drawn from the document, and what each says to those who cannot see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.figure import Figure

from lib.domain.records import SMALL_MASS_MM
from lib.evaluation.figures import FrocCurve, PairedResult, Regression, Subgroup
from lib.evaluation.groups import ALL, EXTERNAL, INTERNAL, OTHER_VENDOR
from lib.evaluation.page import plots
from lib.evaluation.page.plots import ForestRow
from lib.evaluation.page.svg import figure_svg
from lib.evaluation.page.wording import (
    DASH,
    count_of,
    criterion_title,
    listed,
    number,
    p_value,
    percent,
    sequence_title,
    span,
)
from lib.evaluation.published import OTHER_DSC, TRAINED_DSC
from lib.evaluation.report import CaseResult, GroupResult, Report
from lib.evaluation.results import MASS_REGION

PUBLISHED_MEDIANS: Mapping[str, tuple[float, float]] = {
    INTERNAL: TRAINED_DSC,
    EXTERNAL: TRAINED_DSC,
    OTHER_VENDOR: OTHER_DSC,
}
_WIDTH_IN, _HEIGHT_IN = 3.7, 2.9
_FEW = 3  # points that a cloud needs to say anything
_LABEL_LENGTH = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure with its message, or the sentence that stands in its place when there is nothing to draw.

    Attributes:
        svg: Empty when there is nothing to draw.
        alt: What the figure shows, or why there is none.
    """

    title: str
    alt: str
    svg: str = ""


def box_plots(report: Report) -> list[Drawing]:
    """DSC of the mass per patient: a figure a group, a box a sequence."""
    return [_boxes(report, index, group.name) for index, group in enumerate(report.groups)]


def size_plots(report: Report) -> list[Drawing]:
    """DSC of each mass against its diameter: a figure a sequence, a series a group of scanners."""
    return [_sizes(report, index, code) for index, code in enumerate(sequences_of(report))]


def froc_plots(report: Report) -> list[Drawing]:
    """FROC of all images: a figure a sequence, a curve a criterion."""
    return [_froc(report, index, row) for index, row in enumerate(_whole(report))]


def volume_plots(report: Report) -> list[Drawing]:
    """Bland-Altman plots of the mass volume of all images: a figure a sequence."""
    return [_volumes(report, index, row) for index, row in enumerate(_whole(report))]


def residual_plots(report: Report) -> list[Drawing]:
    """Residuals of each regression that was fitted."""
    drawn = [_residuals(index, row) for index, row in enumerate(report.regressions) if len(row.residuals) >= _FEW]
    return drawn or [Drawing(title="Residuals", alt="No residual plot: no model was fitted.")]


def subgroup_plots(report: Report) -> list[Drawing]:
    """Forest plots of the DSC in subgroups: a figure a sequence."""
    codes = dict.fromkeys(row.sequence for row in report.subgroups)
    return [_subgroups(report, index, code) for index, code in enumerate(codes)]


def comparison_plots(report: Report) -> list[Drawing]:
    """Difference in DSC between two models: a figure a group."""
    results = report.comparison.results if report.comparison else ()
    dice = [row for row in results if row.measure == "dice"]
    groups = dict.fromkeys(row.group for row in dice)
    return [_compared(index, name, [row for row in dice if row.group == name]) for index, name in enumerate(groups)]


def sequences_of(report: Report) -> list[str]:
    """Codes in the order of the results."""
    return list(dict.fromkeys(row.sequence for row in report.results))


def patient_dice(cases: Sequence[CaseResult]) -> list[float]:
    """DSC of the mass of each patient with one: the mean over their images."""
    by_patient: dict[int, list[float]] = {}
    for case in cases:
        score = case.regions.get(MASS_REGION)
        if score and score.reference_ml > 0 and score.dice is not None:
            by_patient.setdefault(case.patient, []).append(score.dice)
    return [fmean(values) for values in by_patient.values()]


def _whole(report: Report) -> list[GroupResult]:
    return [row for row in report.results if row.group == ALL]


def _cases(report: Report, sequence: str, group: str = ALL) -> list[CaseResult]:
    return [case for case in report.cases if case.sequence == sequence and group in case.groups]


def _drawn(name: str, title: str, alt: str, draw: Callable[[Figure], None], height_in: float = _HEIGHT_IN) -> Drawing:
    return Drawing(title=title, alt=alt, svg=figure_svg(name, _WIDTH_IN, height_in, draw))


def _boxes(report: Report, index: int, group: str) -> Drawing:
    title = f"Group {group}"
    boxes = {code: patient_dice(_cases(report, code, group)) for code in sequences_of(report)}
    boxes = {code: values for code, values in boxes.items() if values}
    if not boxes:
        return Drawing(title=title, alt="No box plot: no patient of this group has a scored mass.")
    medians = {row.sequence: _median(row) for row in report.results if row.group == group}
    band = PUBLISHED_MEDIANS.get(group)
    alt = "Median DSC of the mass per patient: " + ", ".join(
        f"{code} {number(medians.get(code), 2)} (n = {len(values)})" for code, values in boxes.items()
    )
    if band:
        alt += f". The shaded range, {span(*band)}, is the published one and not directly comparable"

    def draw(figure: Figure) -> None:
        plots.box_plot(figure, boxes, "DSC of the mass, per patient", band)

    return _drawn(f"box{index}", title, f"{alt}.", draw, 0.8 + 0.46 * len(boxes))


def _sizes(report: Report, index: int, code: str) -> Drawing:
    title = sequence_title(code)
    series: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in (*PUBLISHED_MEDIANS, "other")}
    for case in _cases(report, code):
        across, up = series[next((name for name in PUBLISHED_MEDIANS if name in case.groups), "other")]
        across.extend(mass.diameter_mm for mass in case.masses)
        up.extend(mass.dice for mass in case.masses)
    masses = [pair for across, up in series.values() for pair in zip(across, up, strict=True)]
    if not masses:
        return Drawing(title=title, alt="No scatter plot: no mass was scored in this sequence.")
    missed = [diameter for diameter, dice in masses if dice == 0]
    alt = (
        f"{count_of(len(masses), 'mass', 'masses')} of {number(min(masses)[0], 0)} to {number(max(masses)[0], 0)} mm; "
        f"{count_of(len(missed), 'has', 'have')} a DSC of 0"
    )
    if missed:
        alt += f" (up to {number(max(missed), 0)} mm)"
    furthest = max(SMALL_MASS_MM, *(mass.diameter_mm for case in report.cases for mass in case.masses))

    def draw(figure: Figure) -> None:
        plots.scatter(figure, series, ("diameter of the mass, mm", "DSC of the mass"), 1.02 * furthest)

    return _drawn(f"size{index}", title, f"{alt}.", draw)


def _froc(report: Report, index: int, row: GroupResult) -> Drawing:
    title = sequence_title(row.sequence)
    curves = {criterion_title(curve.criterion, report.provenance.options): curve for curve in row.froc if curve.points}
    if not curves or not row.masses:
        return Drawing(title=title, alt="No FROC curve: there is no mass to find, or nothing was proposed.")
    ends = [
        f"{percent(curve.points[-1].sensitivity)} at {number(curve.points[-1].false_positives_per_scan, 2)} "
        f"false positives per scan ({label})"
        for label, curve in curves.items()
    ]
    shown = [curve for result in _whole(report) for curve in result.froc]
    furthest = max(1.0, *(point.false_positives_per_scan for curve in shown for point in curve.points))

    def draw(figure: Figure) -> None:
        plots.froc(figure, {label: _points(curve) for label, curve in curves.items()}, 1.02 * furthest)

    return _drawn(f"froc{index}", title, f"With every proposed mass kept: {'; '.join(ends)}.", draw)


def _points(curve: FrocCurve) -> tuple[list[float], list[float]]:
    return [point.false_positives_per_scan for point in curve.points], [point.sensitivity for point in curve.points]


def _volumes(report: Report, index: int, row: GroupResult) -> Drawing:
    title, agreement = sequence_title(row.sequence), row.volume_agreement
    scores = [case.regions[MASS_REGION] for case in _cases(report, row.sequence) if MASS_REGION in case.regions]
    scores = [score for score in scores if score.reference_ml > 0]
    bias, lower, upper = agreement.bias.value, agreement.lower, agreement.upper
    if not scores or bias is None:
        return Drawing(title=title, alt="No Bland-Altman plot: no image with a mass was scored.")
    lines = {"bias": bias}
    alt = f"Bias {number(bias, 2)} ml over {count_of(len(scores), 'image')}"
    if lower is not None and upper is not None:
        lines |= {"lower limit": lower, "upper limit": upper}
        alt += f", 95 % limits of agreement {span(lower, upper, 2)} ml"

    def draw(figure: Figure) -> None:
        means = [(score.reference_ml + score.predicted_ml) / 2 for score in scores]
        plots.bland_altman(figure, means, [score.volume_error_ml for score in scores], lines)

    return _drawn(f"volume{index}", title, f"{alt}.", draw)


def _residuals(index: int, row: Regression) -> Drawing:
    widest = max(map(abs, row.residuals))
    alt = (
        f"Residuals of {count_of(len(row.residuals), 'image')} against the fitted DSC (left) and against normal "
        f"quantiles (right); the largest is {number(widest, 2)} DSC."
    )

    def draw(figure: Figure) -> None:
        plots.residuals(figure, row.fitted, row.residuals)

    svg = figure_svg(f"residual{index}", 2 * _WIDTH_IN * 0.8, _HEIGHT_IN * 0.8, draw)
    return Drawing(title=sequence_title(row.sequence), alt=alt, svg=svg)


def _subgroups(report: Report, index: int, code: str) -> Drawing:
    title = sequence_title(code)
    factors = [row for row in report.subgroups if row.sequence == code]
    rows = [line for row in factors for line in _factor_rows(row)]
    if all(row.value is None for row in rows):
        return Drawing(title=title, alt="No forest plot: no subgroup of this sequence has a scored mass.")
    level = round(1 - report.provenance.options.confidence, 9)
    differing = [row.factor for row in factors if (p := _dice_p(row)) is not None and p < level]
    alt = f"Median DSC in {count_of(len(factors), 'set')} of subgroups. "
    alt += f"After correction the DSC differs by {listed(differing)}." if differing else _NO_DIFFERENCE
    everybody = next((result for result in _whole(report) if result.sequence == code), None)
    middle = _median(everybody) if everybody else None

    def draw(figure: Figure) -> None:
        plots.forest(figure, rows, "median DSC of the mass, with its interval", middle)

    return _drawn(f"forest{index}", title, alt, draw, plots.forest_height_in(rows))


_NO_DIFFERENCE = "After correction no difference between subgroups is significant, or none could be tested."


def _median(row: GroupResult) -> float | None:
    return next((region.measures["dice"].median for region in row.regions if region.region == MASS_REGION), None)


def _dice_p(row: Subgroup) -> float | None:
    return next((test.p_holm for test in row.tests if test.outcome == "dice"), None)


def _factor_rows(row: Subgroup) -> list[ForestRow]:
    p = _dice_p(row)
    tested = "" if p is None else f": p {p_value(p)}" if p_value(p).startswith("<") else f": p = {p_value(p)}"
    heading = ForestRow(label=f"{_short(row.factor)}, per {row.unit}{tested}", note="n", heading=True)
    levels = [
        ForestRow(
            label=_short(level.level or DASH),
            value=level.dice.median,
            low=level.dice.low,
            high=level.dice.high,
            note=str(level.dice.n),
        )
        for level in row.levels
    ]
    return [heading, *levels]


def _short(label: str) -> str:
    return label if len(label) <= _LABEL_LENGTH else f"{label[: _LABEL_LENGTH - 1]}…"


def _compared(index: int, group: str, results: Sequence[PairedResult]) -> Drawing:
    title = f"Group {group}"
    rows = [
        ForestRow(
            label=row.sequence,
            value=row.difference.value,
            low=row.difference.low,
            high=row.difference.high,
            note=f"n = {row.n}",
        )
        for row in results
    ]
    if all(row.value is None for row in rows):
        return Drawing(title=title, alt="No plot: no image of this group was scored with both models.")
    parts = [
        f"{row.sequence} {number(row.difference.value)} ({span(row.difference.low, row.difference.high)})"
        for row in results
    ]

    def draw(figure: Figure) -> None:
        plots.forest(figure, rows, "difference in DSC, second − first", 0.0)

    alt = f"Mean difference in DSC, second minus first: {'; '.join(parts)}."
    return _drawn(f"compared{index}", title, alt, draw, plots.forest_height_in(rows))
