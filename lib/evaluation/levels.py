"""Levels of a factor: sizes by centimetre, numbers by thirds, everything else by its values."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from lib.domain.records import SMALL_MASS_MM
from lib.evaluation.assemble import number_in

UNKNOWN = "unknown"
SIZE_EDGES_MM = (10.0, 20.0, 30.0, SMALL_MASS_MM)
MOST_VALUES = 5  # a number with more distinct values than this is cut into thirds
Levels = tuple[tuple[str, ...], Callable[[str], str]]


def size_levels() -> tuple[str, ...]:
    """Names of the size classes; a mass over 4 cm is not small and gets a row of its own."""
    edges_cm = [0, *(edge / 10 for edge in SIZE_EDGES_MM)]
    pairs = itertools.pairwise(edges_cm)
    return (*(f"{low:g}-{high:g} cm" for low, high in pairs), f"over {edges_cm[-1]:g} cm")


def size_level(size_mm: float | None) -> str:
    """Class of a size; its upper edge belongs to it."""
    if size_mm is None:
        return UNKNOWN
    return size_levels()[int(np.searchsorted(SIZE_EDGES_MM, size_mm, side="left"))]


def is_number(values: Iterable[str]) -> bool:
    """Whether a factor is a number rather than a name: all known values are, and there are many."""
    known = {value for value in values if value}
    return len(known) > MOST_VALUES and all(number_in(value) is not None for value in known)


def levels_of(values: Sequence[str]) -> Levels:
    """Levels of a factor, in order, and the level of each value.

    Args:
        values: Of every patient, as text; empty when unknown.
    """
    if is_number(values):
        return _thirds([number for value in values if (number := number_in(value)) is not None])
    known = sorted({value for value in values if value}, key=lambda value: (number_in(value) or 0.0, value))
    return tuple(known), lambda value: value or UNKNOWN


def _thirds(numbers: Sequence[float]) -> Levels:
    low, high = np.quantile(numbers, (1 / 3, 2 / 3)).tolist()
    names = (f"up to {low:g}", f"over {low:g} to {high:g}", f"over {high:g}")

    def level(value: str) -> str:
        number = number_in(value)
        return UNKNOWN if number is None else names[int(np.searchsorted((low, high), number, side="left"))]

    return names, level
