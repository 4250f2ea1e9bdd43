"""The design of a linear model: which images and coefficients take part, and which cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.evaluation.assemble import number_in
from lib.evaluation.levels import is_number

INTERCEPT = "intercept"
FEWEST_OF_LEVEL = 3  # images; a rarer level would be fitted by its own images alone
_SAME = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One image: its outcome, and the value of each factor as text, empty when unknown."""

    image_id: str
    patient: int
    outcome: float
    factors: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One coefficient; ``reference`` is the level that a level is compared with, empty for a number."""

    name: str
    factor: str
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """Rows and columns that can be fitted.

    Attributes:
        matrix: (rows, columns), the first column is the intercept.
        dropped: Names of columns that the ones before them determine.
        constant: Factors that do not vary.
    """

    rows: Sequence[Row]
    columns: Sequence[Column]
    matrix: NDArray[np.float64]
    dropped: tuple[str, ...]
    constant: tuple[str, ...]


def design_of(rows: Sequence[Row], factors: Sequence[str]) -> Design:
    """Code factors as columns: a number as itself, names by levels against the most frequent one.

    Left out are rows with an unknown value or a level that fewer than FEWEST_OF_LEVEL rows have, factors that do not
    vary, and columns that earlier ones determine.
    """
    numbers = {name for name in factors if is_number([row.factors[name] for row in rows])}
    kept = _complete(rows, factors, numbers)
    varying = [name for name in factors if len({row.factors[name] for row in kept}) > 1]
    columns, values = [Column(name=INTERCEPT, factor="")], [np.ones(len(kept))]
    for name in varying:
        for column, coded in _coded(kept, name, number=name in numbers):
            columns.append(column)
            values.append(coded)
    matrix = np.stack(values, axis=1)
    independent = _independent(matrix)
    return Design(
        rows=kept,
        columns=[columns[index] for index in independent],
        matrix=matrix[:, independent],
        dropped=tuple(column.name for index, column in enumerate(columns) if index not in independent),
        constant=tuple(name for name in factors if name not in varying),
    )


def _complete(rows: Sequence[Row], factors: Sequence[str], numbers: set[str]) -> list[Row]:
    """Rows that know every factor and share each level with others; leaving some out can make others rare."""
    kept = [row for row in rows if all(row.factors[name] for name in factors)]
    named = [name for name in factors if name not in numbers]
    while True:
        counts = {name: Counter(row.factors[name] for row in kept) for name in named}
        common = [row for row in kept if all(counts[name][row.factors[name]] >= FEWEST_OF_LEVEL for name in named)]
        if len(common) == len(kept):
            return kept
        kept = common


def _coded(rows: Sequence[Row], name: str, *, number: bool) -> list[tuple[Column, NDArray[np.float64]]]:
    values = [row.factors[name] for row in rows]
    if number:
        return [(Column(name=name, factor=name), np.array([number_in(value) or 0.0 for value in values]))]
    counts = Counter(values)
    reference, *levels = sorted(counts, key=lambda level: (-counts[level], level))
    return [
        (
            Column(name=f"{name}: {level}", factor=name, reference=reference),
            np.array([float(value == level) for value in values]),
        )
        for level in sorted(levels)
    ]


def _independent(matrix: NDArray[np.float64]) -> list[int]:
    """Columns that the ones before them do not determine, in order: those that leave a residual."""
    kept: list[int] = []
    basis = np.empty((len(matrix), 0))
    for index, column in enumerate(matrix.T):
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)  # once more, against rounding
        if np.linalg.norm(rest) > _SAME * max(float(np.linalg.norm(column)), 1.0):
            kept.append(index)
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
    return kept
