"""The orders in which images can be offered, one row each; the first is the default."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lib.activelearning.coverage import by_coverage
from lib.activelearning.disagreement import by_disagreement
from lib.activelearning.hybrid import by_all
from lib.activelearning.random import at_random
from lib.activelearning.uncertainty import by_uncertainty
from lib.domain.records import Candidate, Priority

Order = Callable[[Sequence[Candidate], Sequence[Candidate], random.Random], list[Priority]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSpec:
    """One row of the table: a strategy's name, what clients show, and its order."""

    name: str
    title: str
    order: Order


ORDERS: dict[str, OrderSpec] = {
    row.name: row
    for row in (
        OrderSpec(name="random", title="Any case that has no label yet", order=at_random),
        OrderSpec(name="coverage", title="Least labelled centre, scanner, sequence and size first", order=by_coverage),
        OrderSpec(name="hybrid", title="Uncertainty, coverage and disagreement together", order=by_all),
        OrderSpec(name="uncertainty", title="What the network is least sure of first", order=by_uncertainty),
        OrderSpec(
            name="disagreement", title="Patients whose sequences contradict each other first", order=by_disagreement
        ),
    )
}
DEFAULT = next(iter(ORDERS.values()))  # clients take the first unless told otherwise
