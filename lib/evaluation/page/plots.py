"""How each kind of plot is drawn, from plain numbers; what goes into it is decided in ``drawings``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from lib.evaluation.page.svg import INK

# Told apart by colour-blind people, and from a white and a black page.
COLOURS = ("#1a7fc4", "#d4600f", "#0f8d63", "#b0689a", "#7a7a7a")
_MARKERS = ("o", "s", "^", "D", "v")
_DASHES = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)), (0, (7, 2)))
_BAND = "#8a8a8a"
_MANY_POINTS = 1500  # more are drawn as one picture, not as thousands of elements
_LEGEND_COLUMNS = 3
_ROW_IN = 0.225
_BESIDE = ("axes fraction", "data")
_UNIT = (-0.02, 1.02)  # of a share, with room for half a dot


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """One line; a heading of the lines below it has neither value nor interval."""

    label: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""
    heading: bool = False


def box_plot(
    figure: Figure,
    boxes: Mapping[str, Sequence[float]],
    axis_title: str,
    band: tuple[float, float] | None,
) -> None:
    """Horizontal boxes of shares, the first on top: quartiles, whiskers of 1.5 interquartile ranges, dots for values.

    Args:
        figure: Drawn on.
        boxes: Values by label.
        axis_title: What they are.
        band: A range to look at beside them.
    """
    axes = figure.subplots()
    if band:
        axes.axvspan(*band, color=_BAND, alpha=0.3, linewidth=0)
    places = range(len(boxes), 0, -1)
    line = {"color": INK, "linewidth": 1}
    axes.boxplot(
        list(boxes.values()),
        positions=list(places),
        orientation="horizontal",
        widths=0.55,
        showfliers=False,
        boxprops=line,
        whiskerprops=line,
        capprops=line,
        medianprops={"color": COLOURS[1], "linewidth": 2.4},
    )
    shake = np.random.default_rng(0)
    for place, values in zip(places, boxes.values(), strict=True):
        spread = shake.uniform(-0.18, 0.18, len(values))
        axes.plot(
            values, place + spread, ".", color=COLOURS[0], alpha=0.8, markersize=4, zorder=1, rasterized=_many(values)
        )
    axes.set_yticks(list(places), [f"{label}\nn = {len(values)}" for label, values in boxes.items()])
    axes.set_xlabel(axis_title)
    axes.set_xlim(_UNIT)


def scatter(
    figure: Figure,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    titles: tuple[str, str],
    furthest: float,
) -> None:
    """Points of several series against two axes, from 0 to ``furthest`` and to 1; an empty series keeps its style."""
    axes = figure.subplots()
    for index, (label, (across, up)) in enumerate(series.items()):
        if not across:
            continue
        axes.plot(
            across,
            up,
            color=COLOURS[index % len(COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)],
            linestyle="",
            label=label,
            markersize=4,
            alpha=0.8,
            clip_on=False,
            rasterized=_many(across),
        )
    axes.set(xlabel=titles[0], ylabel=titles[1])
    axes.set_xlim(0, furthest)
    axes.set_ylim(_UNIT)
    _grid(axes)
    _legend(figure, len(series))


def froc(figure: Figure, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], furthest: float) -> None:
    """Sensitivity against false positives per scan, as steps that never promise what no threshold gave."""
    axes = figure.subplots()
    for index, (label, (false_positives, sensitivity)) in enumerate(curves.items()):
        style = {"color": COLOURS[index % len(COLOURS)], "linestyle": _DASHES[index % len(_DASHES)]}
        axes.step([0, *false_positives], [0, *sensitivity], where="post", label=label, linewidth=1.8, **style)
        axes.plot(false_positives[-1:], sensitivity[-1:], "o", color=style["color"], markersize=4, clip_on=False)
    axes.set(xlabel="false positives per scan", ylabel="sensitivity per mass")
    axes.set_xlim(0, furthest)
    axes.set_ylim(_UNIT)
    _grid(axes)
    _legend(figure, len(curves))


def bland_altman(
    figure: Figure, means: Sequence[float], differences: Sequence[float], lines: Mapping[str, float]
) -> None:
    """Differences against means of two measurements in ml, with named horizontal lines."""
    axes = figure.subplots()
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.plot(
        means, differences, "o", color=COLOURS[0], markersize=4, alpha=0.8, clip_on=False, rasterized=_many(means)
    )
    for label, value in lines.items():
        dash = _DASHES[0] if label == "bias" else _DASHES[1]
        axes.axhline(value, color=COLOURS[1], linewidth=1.3, linestyle=dash)
        axes.annotate(label, (1, value), xycoords=_BESIDE, xytext=(0, 2), textcoords="offset points", ha="right")
    axes.set(xlabel="mean of both volumes, ml", ylabel="predicted − reference, ml")
    axes.margins(y=0.12)


def residuals(figure: Figure, fitted: Sequence[float], residual: Sequence[float]) -> None:
    """Residuals against fitted values, and against the quantiles of a normal distribution."""
    left, right = figure.subplots(1, 2)
    style = {"color": COLOURS[0], "markersize": 4, "alpha": 0.8, "rasterized": _many(fitted)}
    left.axhline(0, color=INK, linewidth=0.6)
    left.plot(fitted, residual, "o", **style)
    left.set(xlabel="fitted DSC", ylabel="residual")
    expected, ordered = stats.probplot(residual, fit=False)
    spread = float(np.std(residual, ddof=1)) if len(residual) > 1 else 0.0
    right.plot(expected, ordered, "o", **style)
    right.axline((0, float(np.mean(residual))), slope=spread, color=INK, linewidth=0.8)
    right.set(xlabel="normal quantile", ylabel="residual")


def forest(figure: Figure, rows: Sequence[ForestRow], axis_title: str, middle: float | None) -> None:
    """One line a row: value, interval and a note at the right; a vertical line at ``middle``."""
    axes = figure.subplots()
    if middle is not None:
        axes.axvline(middle, color=INK, linewidth=0.8, linestyle=_DASHES[1])
    places = range(len(rows), 0, -1)
    for place, row in zip(places, rows, strict=True):
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place, place], color=COLOURS[0], linewidth=1.6)
        if row.value is not None:
            axes.plot(row.value, place, "s", color=COLOURS[0], markersize=5)
        if row.heading:
            axes.annotate(row.label, (0, place), xycoords=_BESIDE, va="center", weight="bold", in_layout=False)
        axes.annotate(row.note, (1.02, place), xycoords=_BESIDE, va="center", annotation_clip=False)
    axes.set_yticks(places, ["" if row.heading else row.label for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(0.4, len(rows) + 0.6)
    axes.set_xlabel(axis_title)
    axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)
    if all(0 <= limit <= 1 for row in rows for limit in (row.value, row.low, row.high) if limit is not None):
        axes.set_xlim(_UNIT)


def forest_height_in(rows: Sequence[ForestRow]) -> float:
    """Height that its rows need."""
    return 0.6 + _ROW_IN * len(rows)


def _many(values: Sequence[float]) -> bool:
    return len(values) > _MANY_POINTS


def _grid(axes: Axes) -> None:
    axes.grid(color=INK, alpha=0.15, linewidth=0.6)


def _legend(figure: Figure, entries: int) -> None:
    if entries > 1:
        figure.legend(loc="outside lower center", ncols=min(entries, _LEGEND_COLUMNS))
