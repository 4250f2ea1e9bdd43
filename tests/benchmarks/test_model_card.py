"""The model card's tables say what the report says."""

import pytest

from benchmarks.model_card import by_group, by_level
from lib.domain.sequences import SEQUENCES
from lib.evaluation.report import Report
from tests.evaluation.example import example_report


@pytest.fixture(scope="module")
def report() -> Report:
    return example_report(patients=40)


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_every_sequence_and_group_has_its_counts_and_median(report: Report) -> None:
    _, _, *rows = cells(by_group(report))
    assert len(rows) == len(report.results)
    for row, result in zip(rows, report.results, strict=True):
        mass = next(region for region in result.regions if region.region == "mass")
        assert row[:2] == [result.sequence, result.group]
        assert row[5] == " / ".join(str(one.masses.count) for one in result.detection)
        assert row[3].startswith(f"{mass.measures['dice'].median:.2f} ")


@pytest.mark.parametrize("unit", ["mass", "patient"])
def test_levels_are_columns_and_hold_their_own_figures(report: Report, unit: str) -> None:
    head, _, *rows = cells(by_level(report, "size", unit))
    scored = {one.sequence for one in report.subgroups}
    assert [row[0] for row in rows] == [code for code in SEQUENCES if code in scored]
    (size,) = (one for one in report.subgroups if (one.factor, one.unit, one.sequence) == ("size", unit, "NP"))
    level = size.levels[2]
    cell = next(row for row in rows if row[0] == "NP")[head.index(level.level)]
    assert cell.endswith(f"of {level.detection['overlap'].total}; {level.dice.median:.2f}")
    assert cell.startswith(f"{level.detection['overlap'].count} / {level.detection['iou'].count} / ")
