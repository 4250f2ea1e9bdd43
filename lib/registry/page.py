"""One self-contained page a version: what was to change, on which data, by which rule, with which result.

The headings are those of a predetermined change control plan (FDA, 2024: description of modifications, modification
protocol, impact assessment), with a model card behind. Every figure is read from the version's record and the audit
log; what was not recorded is said to be missing.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lib.domain.records import EpochReport
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import STRUCTURES
from lib.registry.figures import figures_of
from lib.registry.serving import Serving
from lib.registry.versions import LabelUsed, VersionRecord

_FOLDER = Path(__file__).parent
_DIGITS = 4


def page(record: VersionRecord, serving: Serving | None, history: Sequence[Mapping[str, Any]]) -> str:
    """Write the page.

    Args:
        record: Of the version.
        serving: What serves its sequence now.
        history: Audit entries about the version, oldest first.

    Returns:
        HTML that needs no other file.
    """
    environment = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined)
    row = SEQUENCES.get(record.code)
    training = record.training
    return environment.get_template("page.html.j2").render(
        record=record,
        title=row.title if row else record.code,
        structures=", ".join(STRUCTURES),
        role=_role(record, serving),
        counts=_counts(training.labels if training else ()),
        curve=_curve(training.epochs) if training and training.epochs else "",
        tables=_tables(record.decision),
        figures=_figures(record.decision),
        lost=record.decision.get("lost_masses"),
        criteria=_criteria(record.decision),
        history=history,
    )


def _role(record: VersionRecord, serving: Serving | None) -> str:
    if serving and serving.champion.version == record.version:
        return f"serves since {serving.changed}"
    if serving and serving.previous and serving.previous.version == record.version:
        return "served before; a rollback returns to it"
    return "does not serve"


def _counts(labels: Sequence[LabelUsed]) -> dict[str, int]:
    return {side: sum(used.side == side for used in labels) for side in ("train", "validation")}


def _criteria(decision: Mapping[str, Any]) -> list[str]:
    """The rule that the figures were held against, as far as the record holds it."""
    margins = {
        f"{row['measure']}, {row['group']}: the lower confidence bound of the mean difference (challenger less "
        f"champion) lies above -{row['margin']:g}": None
        for row in decision.get("comparisons") or ()
    }
    return list(margins)


def _tables(decision: Mapping[str, Any]) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Every list of rows among the figures: heading and cells by name."""
    found = {}
    for name, value in decision.items():
        rows = [row for row in value if isinstance(row, Mapping)] if isinstance(value, list | tuple) else []
        if rows:
            heading = list(dict.fromkeys(key for row in rows for key in row))
            found[_words(name)] = (
                [_words(key) for key in heading],
                [[_text(row.get(key)) for key in heading] for row in rows],
            )
    return found


def _figures(decision: Mapping[str, Any]) -> dict[str, str]:
    """Every single figure."""
    single = figures_of(decision).items()
    return {_words(name): _text(value) for name, value in single if not isinstance(value, list | tuple | Mapping)}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _text(value: object) -> str:
    if value is None or value == "":
        return "–"
    return f"{round(value, _DIGITS):g}" if isinstance(value, float) else str(value)


def _curve(epochs: Sequence[EpochReport]) -> str:
    """Loss and validation Dice by epoch, as an SVG picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([report.epoch for report in epochs], [report.loss for report in epochs], color="#334e68")
    left.set(xlabel="epoch", ylabel="training loss")
    validated = [report for report in epochs if report.dice]
    for name in STRUCTURES:
        points = [(report.epoch, report.dice[name]) for report in validated if name in report.dice]
        if points:
            right.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    right.set(xlabel="epoch", ylabel="validation Dice", ylim=(0, 1))
    if validated:
        right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    picture = io.StringIO()
    figure.savefig(picture, format="svg", metadata={"Date": None, "Creator": None})
    text = picture.getvalue()
    return text[text.index("<svg") :]
