"""Figures and curves of ``benchmarks.simulate_learning``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from scipy import stats

DRAWS = 2000
ENOUGH = 0.95  # of what all of the pool teaches


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: area under the learning curve of every strategy against random."""
    curves = [row for row in rows if "strategy" in row and row["strategy"] != "all"]
    names = sorted({row["strategy"] for row in curves}, key=lambda name: -_mean_curve(curves, name, "dice"))
    full = fmean(_mean(row, "dice") for row in rows if row.get("strategy") == "all")
    whole = fmean(row["minutes"] for row in rows if row.get("strategy") == "all")
    seeds = sorted({row["seed"] for row in curves})
    lines = [
        f"{len(seeds)} seeds; all of the pool: mass DSC {full:.3f}, {whole:.0f} minutes drawn from scratch",
        "",
        "| strategy | mass DSC over the curve | found | against random: DSC (95 % interval) | p | p (Holm) | minutes to 95 % of all |",
        "|---|---|---|---|---|---|---|",
    ]
    tests = {name: _against_random(curves, name) for name in names if name != "random"}
    adjusted = _holm({name: found[3] for name, found in tests.items()})
    for name in names:
        told = f"{_mean_curve(curves, name, 'dice'):.3f} | {_mean_curve(curves, name, 'found'):.2f}"
        compared = "- | - | -"
        if name in tests:
            mean, low, high, p = tests[name]
            compared = f"{mean:+.3f} ({low:+.3f} to {high:+.3f}) | {p:.3f} | {adjusted[name]:.3f}"
        lines.append(f"| {name} | {told} | {compared} | {_reached(curves, name, full, whole)} |")
    return "\n".join(lines)


def _mean(row: dict[str, Any], measure: str) -> float:
    return fmean(one[measure] for one in row["scores"].values())


def _mean_curve(rows: Sequence[dict[str, Any]], name: str, measure: str) -> float:
    return fmean(_mean(row, measure) for row in rows if row["strategy"] == name)


def _by_seed(rows: Sequence[dict[str, Any]], name: str) -> dict[int, float]:
    """Mass DSC averaged over the curve, the draws and the test patients of every seed's cohort."""
    seeds = sorted({row["seed"] for row in rows})
    return {seed: _mean_curve([row for row in rows if row["seed"] == seed], name, "dice") for seed in seeds}


def _against_random(rows: Sequence[dict[str, Any]], name: str) -> tuple[float, float, float, float]:
    """Mean difference, its interval from a bootstrap over the seeds, and Wilcoxon's p: a cohort is one observation."""
    mine, theirs = _by_seed(rows, name), _by_seed(rows, "random")
    apart = np.array([mine[seed] - theirs[seed] for seed in mine])
    means = np.random.default_rng(0).choice(apart, (DRAWS, len(apart))).mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(apart.mean()), float(low), float(high), float(stats.wilcoxon(apart).pvalue)


def _holm(p_values: dict[str, float]) -> dict[str, float]:
    adjusted, worst = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        worst = max(worst, min(1.0, p_values[name] * (len(p_values) - place)))
        adjusted[name] = worst
    return adjusted


def curve(rows: Sequence[dict[str, Any]], name: str, measure: str) -> list[tuple[float, float, float]]:
    """Patients, minutes and score, averaged over seeds and draws."""
    chosen = [row for row in rows if row.get("strategy") == name]
    return [
        (
            patients,
            fmean(row["minutes"] for row in chosen if row["patients"] == patients),
            fmean(_mean(row, measure) for row in chosen if row["patients"] == patients),
        )
        for patients in sorted({row["patients"] for row in chosen})
    ]


def _reached(rows: Sequence[dict[str, Any]], name: str, full: float, whole: float) -> str:
    found = [spent for _, spent, score in curve(rows, name, "dice") if score >= ENOUGH * full]
    return f"{found[0]:.0f} ({found[0] / whole:.0%})" if found else "not reached"


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Four curves: mass DSC and detection, against patients and against minutes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.5), layout="constrained")
    axes = figure.subplots(2, 2, sharey="row")
    names = list(dict.fromkeys(row["strategy"] for row in rows if "strategy" in row and row["strategy"] != "all"))
    for line, (measure, title) in enumerate((("dice", "mass DSC"), ("found", "masses found"))):
        for place, unit in enumerate(("patients labelled", "simulated minutes")):
            axis = axes[line][place]
            for name in names:
                points = curve(rows, name, measure)
                style = {"linestyle": "--", "color": "black"} if name == "random" else {}
                axis.plot([one[place] for one in points], [one[2] for one in points], marker="o", label=name, **style)
            whole = fmean(_mean(row, measure) for row in rows if row.get("strategy") == "all")
            axis.axhline(whole, color="grey", linewidth=1, label="all of the pool")
            axis.set_xlabel(unit)
            axis.set_ylabel(title)
            axis.grid(alpha=0.3)
    axes[0][0].legend()
    figure.savefig(path, dpi=110)
