"""What the network is least sure of comes first, mass and kidney in turn, with chance that fades as labels arrive.

After ClaSP PE (class-stratified sampling of power-noised predictive entropy): each class is ranked by itself, so that
the easy one with the larger volume cannot fill the queue; and because a network that saw few labels does not know
what it does not know, its ranking is loosened by noise at first.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence

from lib.activelearning.coverage import by_coverage, shuffled
from lib.domain.records import Candidate, Priority
from lib.scoring.uncertainty import JUDGED

SHARP_AFTER = 100  # labels: from here on noise hardly matters
_LOOSEST, _SHARPEST = 1.0, 100.0  # the score's exponent, without labels and after so many
_LEAST = 1e-6


def by_uncertainty(
    candidates: Sequence[Candidate], labelled: Sequence[Candidate], generator: random.Random
) -> list[Priority]:
    """Take in turn what is least sure as to mass and as to kidney; images that were not measured come last.

    Args:
        candidates: Images without a label.
        labelled: Images with one; the more, the less noise.
        generator: Passed on to the order of what was not measured.
    """
    measured = [case for case in candidates if case.uncertainty]
    power = sharpness(len(labelled))
    rankings = {name: _ranked(measured, name, power) for name in JUDGED}
    chosen = [
        Priority(image_id=case.image_id, patient_id=case.patient_id, reason=_reason(case, name, place, len(measured)))
        for case, name, place in _in_turn(rankings)
    ]
    rest = by_coverage([case for case in candidates if not case.uncertainty], labelled, generator)
    return [*chosen, *rest]


def sharpness(labels: int) -> float:
    """Exponent of the score that its noise competes with: rises evenly in its logarithm with the labels."""
    return float(_LOOSEST * (_SHARPEST / _LOOSEST) ** min(1.0, labels / SHARP_AFTER))


def _ranked(cases: Sequence[Candidate], name: str, power: float) -> list[Candidate]:
    """Largest score to the power first, times noise: drawing without replacement in proportion to it."""

    def key(case: Candidate) -> float:
        score = math.log(max(case.uncertainty.get(name, 0.0), _LEAST))
        return power * score + _gumbel(f"{case.image_id} {name}")

    return sorted(cases, key=key, reverse=True)


def _gumbel(text: str) -> float:
    """Noise that is the same each time for the same text, so that what comes next can be prepared."""
    share = (int.from_bytes(shuffled(text)[:8]) + 0.5) / 2.0**64
    return -math.log(-math.log(min(share, 1 - 2.0**-53)))


def _in_turn(rankings: Mapping[str, Sequence[Candidate]]) -> Iterator[tuple[Candidate, str, int]]:
    """Every case once, with the structure whose turn it was and the case's place in that ranking, from 1."""
    taken: set[str] = set()
    queues = {name: iter(enumerate(cases, start=1)) for name, cases in rankings.items()}
    while queues:
        for name in list(queues):
            found = next(((place, case) for place, case in queues[name] if case.image_id not in taken), None)
            if found is None:
                del queues[name]
                continue
            taken.add(found[1].image_id)
            yield found[1], name, found[0]


def _reason(case: Candidate, name: str, place: int, among: int) -> str:
    doubt = case.uncertainty.get(name, 0.0)
    made_by = f" (model {case.model_version})" if case.model_version else ""
    return f"the model is unsure of the {name} here: doubt {doubt:.2f}, place {place} of {among}{made_by}"
