"""The model card's tables, from a report: per sequence and group, per vendor, and per size of the mass.

    python main.py evaluate COHORT --predictions DIR --out REPORT --factor vendor
    python -m benchmarks.model_card REPORT

What is found or false is counted by three criteria side by side: any overlap; intersection over union of at least 0.1; the
centre of the predicted mass lies in the true one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lib.domain.criteria import CRITERIA
from lib.domain.sequences import SEQUENCES
from lib.evaluation.figures import SubgroupLevel, Summary
from lib.evaluation.report import REPORT_FILE, Report, read_report
from lib.evaluation.results import MASS_REGION


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("report", type=Path, help="folder that evaluate wrote")
    given = options.parse_args()
    report = read_report(given.report / REPORT_FILE)
    print(by_group(report), by_level(report, "vendor", "patient"), by_level(report, "size", "mass"), sep="\n\n")


def by_group(report: Report) -> str:
    """Markdown, a row per sequence and group."""
    lines = [
        "| sequence | group | patients with a mass | median DSC (IQR) | masses | found by each criterion | false positives a scan |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report.results:
        region = next(one for one in row.regions if one.region == MASS_REGION)
        found = " / ".join(str(one.masses.count) for one in row.detection)
        false = " / ".join(_number(one.per_scan.value) for one in row.detection)
        lines.append(
            f"| {row.sequence} | {row.group} | {row.patients_with_mass} | {_spread(region.measures['dice'])} | {row.masses} | {found} | {false} |"
        )
    return "\n".join(lines)


def by_level(report: Report, factor: str, unit: str) -> str:
    """Markdown, a row per sequence and a column per level: how many were found by each criterion, and the median DSC."""
    rows = {
        one.sequence: {level.level: level for level in one.levels}
        for one in report.subgroups
        if (one.factor, one.unit) == (factor, unit) and one.sequence in SEQUENCES
    }
    names = list(dict.fromkeys(name for levels in rows.values() for name in levels))
    lines = ["| sequence | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for code, levels in rows.items():
        lines.append(f"| {code} | " + " | ".join(_cell(levels.get(name)) for name in names) + " |")
    return "\n".join(lines)


def _cell(level: SubgroupLevel | None) -> str:
    if level is None:
        return "-"
    counts = " / ".join(str(level.detection[criterion].count) for criterion in CRITERIA)
    return f"{counts} of {level.detection[CRITERIA[0]].total}; {_number(level.dice.median)}"


def _spread(summary: Summary) -> str:
    return f"{_number(summary.median)} ({_number(summary.q1)}-{_number(summary.q3)})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
