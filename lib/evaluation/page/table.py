"""What a table of the page is, and the shapes that several of them have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lib.domain.criteria import Criterion
from lib.evaluation.page.wording import criterion_title, sequence_title
from lib.evaluation.report import GroupResult, Report

Row = tuple[str, ...]
_ROWS_OF_A_PAGE = 14


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


def by_sequence(results: Sequence[GroupResult], cells: Callable[[GroupResult], Row]) -> list[RowGroup]:
    """One group of rows a sequence, one row a group of images."""
    return [
        RowGroup(title=sequence_title(code), rows=[cells(row) for row in results if row.sequence == code])
        for code in dict.fromkeys(row.sequence for row in results)
    ]


def criteria_of(report: Report) -> dict[Criterion, str]:
    """Titles of the criteria in the order of the results."""
    codes = dict.fromkeys(found.criterion for row in report.results for found in row.detection)
    return {code: criterion_title(code, report.provenance.options) for code in codes}
