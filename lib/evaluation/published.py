"""What is known of the published study, beside our figures, and whether the two may be compared.

Cui et al., "AI-based segmentation of small renal masses: a multi-center, multi-scanner, multi-sequence study",
Abdominal Radiology, 2025. Only figures known to us are here; the study's figures per sequence are not among them.
"""

from __future__ import annotations

from collections.abc import Sequence

from lib.evaluation.detection import patients_found
from lib.evaluation.groups import EXTERNAL, INTERNAL, OTHER_VENDOR, TRAINING_VENDOR
from lib.evaluation.report import CaseResult, Counts, GroupResult, PublishedFact
from lib.evaluation.results import MASS_REGION

PATIENTS = 988
TRAINED_DSC, OTHER_DSC = (0.769, 0.855), (0.523, 0.785)
_OTHER_PATIENTS = "other patients, labels and networks than the study's, whose images we do not have"


def published_facts(
    cases: Sequence[CaseResult], counts: Counts, results: Sequence[GroupResult], confidence: float
) -> tuple[PublishedFact, ...]:
    """Put our figures beside the published ones."""
    found = patients_found(cases, "overlap", confidence)
    trained = [result for result in results if result.group in (INTERNAL, EXTERNAL)]
    other = [result for result in results if result.group == OTHER_VENDOR]
    return (
        PublishedFact(
            fact="patients",
            published=f"{PATIENTS}, of 3 centres",
            observed=f"{counts.scored_patients} scored",
            comparable=False,
            why="the study counts its training patients too; ours are those of this evaluation",
        ),
        _range_fact(f"median DSC of the mass on {TRAINING_VENDOR}, over sequences and test sets", TRAINED_DSC, trained),
        _range_fact(
            f"median DSC of the mass on other vendors than {TRAINING_VENDOR}, over sequences", OTHER_DSC, other
        ),
        PublishedFact(
            fact="patients detected in at least one sequence",
            published="every patient",
            observed=f"{found.count} of {found.total} (any overlap)" if found.total else "no patient with a mass",
            comparable=False,
            why="the criterion of detection that the study used is not known to us; " + _OTHER_PATIENTS,
        ),
    )


def _range_fact(fact: str, published: tuple[float, float], results: Sequence[GroupResult]) -> PublishedFact:
    medians = [
        median
        for result in results
        for region in result.regions
        if region.region == MASS_REGION and (median := region.measures["dice"].median) is not None
    ]
    return PublishedFact(
        fact=fact,
        published=f"{published[0]:.3f} to {published[1]:.3f}",
        observed=f"{min(medians):.3f} to {max(medians):.3f}, {len(medians)} medians" if medians else "no image",
        comparable=False,
        why=f"{_OTHER_PATIENTS}; the measure is the same, so the order of size may be read",
    )
