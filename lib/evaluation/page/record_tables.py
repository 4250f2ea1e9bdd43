"""Tables of what was done with: problems of the input, the checklist, versions and hashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lib.evaluation.page.claim import ClaimAnswer
from lib.evaluation.page.table import Row, RowGroup, Table
from lib.evaluation.page.wording import DASH, PROBLEM_TITLES
from lib.evaluation.report import Options, Problem, Report

SHOWN_PROBLEMS = 25


def problems(report: Report) -> Table:
    """Everything that was not as expected, by kind; long lists are cut and say so."""
    by_kind: dict[str, list[Problem]] = {}
    for problem in report.problems:
        by_kind.setdefault(PROBLEM_TITLES.get(problem.kind, problem.kind), []).append(problem)
    return Table(
        name="problems",
        caption="What was not as expected",
        columns=("image", "seen", "expected", "what was done"),
        groups=[
            RowGroup(title=f"{title}: {len(found)}", rows=_problem_rows(found)) for title, found in by_kind.items()
        ],
        absent="Everything could be scored; nothing unexpected was seen.",
        wordy=True,
    )


def _problem_rows(found: Sequence[Problem]) -> list[Row]:
    rows: list[Row] = [
        (row.image_id or "the cohort", row.seen, row.expected, row.effect) for row in found[:SHOWN_PROBLEMS]
    ]
    more = len(found) - SHOWN_PROBLEMS
    return [*rows, *([(f"and {more:,} more", "listed in report.json", DASH, DASH)] if more > 0 else [])]


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
        *(
            (f"SHA-256 of the {predictions.name} predictions", predictions.sha256)
            for predictions in filter(None, (source.predictions, source.comparison))
        ),
        *_options(source.options),
    ]
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
