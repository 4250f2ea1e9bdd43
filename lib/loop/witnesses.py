"""Which models can be asked about a label: those that never learned from its patient (a cross-validated prediction).

No model is trained for this. The champion never saw a label that is new; where it did, a version before it did not; and
the weights that ship saw no patient at all. So a question costs one prediction a model. Two different models are asked,
or none: one alone may be blind to a scanner, and then every label on it would look wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.domain.records import LabelledImage
from lib.registry.models import ModelFolder
from lib.registry.versions import SCRATCH, VersionRecord, version_in

ASKED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A model that can be asked.

    Attributes:
        learned_from: Images whose labels taught it, or a version that it was continued from.
    """

    version: str
    weights: Path
    learned_from: frozenset[str] = frozenset()


def lineage(models: ModelFolder, code: str) -> list[Witness]:
    """The version that serves and those that it was continued from, newest first, as far as their weights are kept.

    A version of which it is not known what it, or one before it, learned from cannot be asked.
    """
    serving, shipped = models.find(code), models.shipped_file(code)
    if serving is None:
        return []
    untaught = version_in(shipped, code) if shipped.is_file() else SCRATCH
    records = {record.version: record for record in models.records(code)}
    found: list[Witness] = []
    learned_from: frozenset[str] = frozenset()
    for record in reversed(_ancestors(records, version_in(serving, code), untaught)):
        learned_from |= {used.image_id for used in record.training.labels} if record.training else frozenset()
        weights = models.intact(record)
        if weights:
            found.insert(0, Witness(version=record.version, weights=weights, learned_from=learned_from))
    if shipped.is_file() and not any(one.version == untaught for one in found):
        found.append(Witness(version=untaught, weights=shipped))
    return found


def _ancestors(records: Mapping[str, VersionRecord], version: str, untaught: str) -> list[VersionRecord]:
    """A version and those before it, newest first; none when it is not known what the first had learned from."""
    chain: list[VersionRecord] = []
    while version in records and records[version] not in chain:
        chain.append(records[version])
        training = chain[-1].training
        version = training.started_from if training else ""
    known = chain and (chain[-1].source == "shipped" or version in (SCRATCH, untaught))
    return chain if known else []


def patients_taught(known: Sequence[Witness], cases: Sequence[LabelledImage]) -> dict[str, frozenset[str]]:
    """Patients that each version learned from, by version.

    Args:
        known: As ``lineage`` returns them.
        cases: Labels that there are: they tell whose an image is.
    """
    patient_of = {case.image_id: case.patient_id for case in cases}
    return {
        one.version: frozenset(patient_of[image] for image in one.learned_from if image in patient_of) for one in known
    }


def witnesses_of(case: LabelledImage, known: Sequence[Witness], taught: Mapping[str, Collection[str]]) -> list[Witness]:
    """The two models to ask about a label: the one that proposed it, if it can be asked, then the newest; else none.

    Args:
        case: The label.
        known: As ``lineage`` returns them.
        taught: As ``patients_taught`` returns them.
    """
    strangers = [one for one in known if case.patient_id not in taught[one.version]]
    return sorted(strangers, key=lambda one: one.version != case.proposed_by)[:ASKED] if len(strangers) >= ASKED else []
