"""What is known of each version of a model: one JSON file beside its weights, written once, kept for ever.

``live/<CODE>/versions/<version>.safetensors``  the weights, until they are pruned
``live/<CODE>/versions/<version>.json``         this record
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from lib.domain.errors import BadRequestError, BadWeightsError, UnknownModelError
from lib.domain.records import EpochReport
from lib.imaging.volume import write_bytes
from lib.registry.figures import finite

WEIGHTS, RECORD = ".safetensors", ".json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
SCRATCH = "scratch"  # what a run starts from that starts from nothing
SCANNERS = "scanners"  # note of a weight file: every scanner that it and its ancestors were trained on
_HEADER_KEY = "renal_loop"  # as lib.nets.weightfile writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelUsed:
    """A label that a run saw.

    Attributes:
        sha256: Of the label version's file, hexadecimal.
        weight: How often training looked at it, relative to the others.
    """

    image_id: str
    side: Literal["train", "validation"]
    sha256: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectedLabel:
    """A label that a run's review of labels found suspicious, and what became of it in that run.

    Attributes:
        sha256: Of the label version's file, hexadecimal.
        became: ``hold`` (not used until a reviewer releases it) or ``down-weight``.
        weight: In training; 0 while it is held.
        why: What speaks against it.
    """

    image_id: str
    sha256: str
    became: str
    weight: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """How a version came about: enough to repeat it, or to say why that cannot be done.

    Attributes:
        started_from: Version whose weights it started from; ``scratch`` when none.
        started_from_sha256: Of that weight file; empty when none.
        code_version: Of this software.
        code_sha256: Of its source files, in the order of their paths.
        settings: Of the fit, by name.
        minutes: That the run took, without the judging.
        environment: Versions of Python and of what computes, and the device.
        epochs: Loss and validation Dice, in order.
        suspected: Labels that were held or down-weighted.
    """

    started_from: str
    started_from_sha256: str
    code_version: str
    code_sha256: str
    settings: Mapping[str, object]
    seed: int
    minutes: float
    environment: Mapping[str, str]
    labels: tuple[LabelUsed, ...]
    epochs: tuple[EpochReport, ...]
    suspected: tuple[SuspectedLabel, ...] = ()

    @property
    def labels_sha256(self) -> str:
        """One hash for all labels that were used, whatever their order."""
        lines = sorted(f"{used.side} {used.image_id} {used.sha256}" for used in self.labels)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRecord:
    """One version of one sequence's model.

    Attributes:
        sha256: Of the weight file, hexadecimal.
        created: ISO 8601, UTC.
        source: ``trained`` here, ``shipped`` with the app, or ``adopted``: found serving without a record.
        training: None when it was not trained here.
        decision: Of the gate, by name: ``promote`` or ``verdict``, ``reason``, and its figures; empty when not judged.
    """

    code: str
    version: str
    sha256: str
    created: str
    source: Literal["trained", "shipped", "adopted"]
    training: TrainingRun | None = None
    decision: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        """``promote``, ``refuse``, ``wait``; ``none`` when it was never judged."""
        if "verdict" in self.decision:
            return str(self.decision["verdict"])
        if "promote" in self.decision:
            return "promote" if self.decision["promote"] else "refuse"
        return "none"

    @property
    def reason(self) -> str:
        """The sentence of the decision; empty when it was never judged."""
        return str(self.decision.get("reason", ""))


def checked_version(version: str) -> str:
    """Return the name when it is safe as a file name.

    Raises:
        BadRequestError: When it is not.
    """
    if not _NAME.fullmatch(version):
        msg = "the version has characters outside letters, digits, '.', '-' and '_', or is empty or over 128 long"
        raise BadRequestError(msg)
    return version


def write_record(record: VersionRecord, folder: Path) -> None:
    """Write a record beside its weights."""
    training = record.training and {**asdict(record.training), "labels_sha256": record.training.labels_sha256}
    document = {**asdict(record), "training": training}
    write_bytes(f"{json.dumps(finite(document), indent=1)}\n".encode(), folder / f"{record.version}{RECORD}")


def read_record(file: Path) -> VersionRecord:
    """Read a record.

    Raises:
        UnknownModelError: When there is none.
        BadWeightsError: When it is not one that ``write_record`` wrote.
    """
    try:
        found = json.loads(file.read_bytes())
        training = found.pop("training")
        return VersionRecord(**found, training=training and _training(training))
    except FileNotFoundError:
        msg = f"no model version {file.stem!r}; expected one that `models list` shows"
        raise UnknownModelError(msg) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        msg = f"the record of version {file.stem!r} cannot be read ({type(error).__name__})"
        raise BadWeightsError(msg) from error


def _training(found: dict[str, Any]) -> TrainingRun:
    found.pop("labels_sha256")
    labels = tuple(LabelUsed(**used) for used in found.pop("labels"))
    epochs = tuple(EpochReport(**report) for report in found.pop("epochs"))
    suspected = tuple(SuspectedLabel(**one) for one in found.pop("suspected", ()))  # earlier releases had none
    return TrainingRun(**found, labels=labels, epochs=epochs, suspected=suspected)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def notes_in(weights: Path) -> dict[str, str]:
    """Notes that a weight file carries, from its header alone; empty when it carries none."""
    try:
        with safe_open(weights, framework="numpy") as opened:
            notes = json.loads((opened.metadata() or {})[_HEADER_KEY])["notes"]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return {}
    return notes if isinstance(notes, dict) else {}


def version_in(weights: Path, code: str) -> str:
    """Version that a weight file carries; one made of its hash when it carries none."""
    try:
        return checked_version(notes_in(weights)["version"])
    except (KeyError, TypeError, BadRequestError):
        return f"{code}-{file_sha256(weights)[:12]}"


def scanners_in(weights: Path) -> frozenset[str] | None:
    """Scanners that a weight file says it, and those it was continued from, were trained on; None when it does not."""
    try:
        return frozenset(json.loads(notes_in(weights)[SCANNERS]))
    except (KeyError, ValueError, TypeError):
        return None
