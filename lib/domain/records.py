"""Records that cross folder boundaries: frozen, slotted, keyword-only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from lib.domain.errors import BadCohortError

IMAGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
SMALL_MASS_MM = 40.0


def check_image_id(image_id: str) -> str:
    """Return the id when it is safe as a file name and key.

    Raises:
        BadCohortError: When it holds anything but letters, digits, '-' and '_'.
    """
    if not IMAGE_ID.fullmatch(image_id):
        msg = "image id has characters outside letters, digits, '-' and '_', or is empty or over 128 long"
        raise BadCohortError(msg)
    return image_id


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRecord:
    """One row of ``cohort.csv``: an image and where it comes from.

    Attributes:
        image_id: ``<patient_id>_<code>``.
        patient_id: A pseudonym.
        sequence: Code in SEQUENCES.
        field_t: Magnetic field strength in tesla; 0 when unknown.
        clinical: Any further columns, as text.
    """

    image_id: str
    patient_id: str
    sequence: str
    centre: str = ""
    vendor: str = ""
    scanner_model: str = ""
    field_t: float = 0.0
    clinical: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """An image with its final label, as training and scoring take it.

    Attributes:
        patient_id: A pseudonym; decides the side of the split.
        drawn: Names of the structures that the reader drew; the others are unknown, not absent.
    """

    image_id: str
    patient_id: str
    image: Path
    label: Path
    drawn: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelVersion:
    """One version of an image's label, as it was accepted.

    Attributes:
        number: 1-based, per image and tag.
        final: Whether it is the one that counts.
        path: Its file, which never changes.
        sha256: Of that file, hexadecimal.
        created: When it was accepted.
        author: Who sent it, as the client says; empty when it does not.
        source: ``client``, or ``folder`` when the file was found lying in the cohort folder.
        structures: What was drawn; None when not known yet (a file that was found and not yet checked).
        model_version: Version of the model whose proposal the reader started from; empty when there was none.
        minutes: Time spent, when the client tells.
    """

    image_id: str
    tag: str
    number: int
    final: bool
    path: Path
    sha256: str
    created: datetime
    author: str
    source: Literal["client", "folder"]
    structures: frozenset[str] | None
    model_version: str
    minutes: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MassMeasurement:
    """One connected mass of a label or proposal.

    Attributes:
        volume_ml: Volume in millilitres.
        diameter_mm: Largest distance between two voxel centres plus one mean voxel edge, in mm.
        side: Patient side; ``unknown`` when it cannot be told.
        small: Whether the largest diameter is at most 40 mm.
        centre_ras: Centre of mass in scanner coordinates (right, anterior, superior), in mm.
    """

    volume_ml: float
    diameter_mm: float
    side: Literal["left", "right", "unknown"]
    small: bool
    centre_ras: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceGuess:
    """Which sequence an image is taken for, and why (the sentence a reader sees)."""

    code: str
    source: Literal["request", "metadata", "filename", "sidecar", "image"]
    probability: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesGuess:
    """What a series is taken for by its header, and by those of its study.

    Attributes:
        code: Code in SEQUENCES, ``other`` when it is none of them, ``unknown`` when a person has to decide.
        rule: Name of the row that decided.
        confidence: 0 to 1, as the tables judge it; it ranks guesses and is not a measured frequency.
        runner_up: What it is if not ``code``; empty when nothing else fits.
        reason: The sentence that a person reads; it never names a patient.
    """

    code: str
    rule: str
    confidence: float
    runner_up: str = ""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """Progress of one training run, as shown at /train.

    Attributes:
        epoch: 1-based.
        epochs: Planned number; an estimate when the run is limited by time.
        loss: Mean training loss of the epoch.
        dice: Mean validation Dice per structure name; empty when this epoch was not validated.
        eta_s: Estimated seconds that remain.
    """

    epoch: int
    epochs: int
    loss: float
    dice: Mapping[str, float]
    eta_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScore:
    """Scores of one image under one model; None where a structure is absent from the reference.

    Attributes:
        dice: Dice per structure name.
        found: Whether any voxel of the reference's masses is touched; None without a mass.
        false_positives: Predicted masses that touch no reference mass.
    """

    image_id: str
    dice: Mapping[str, float | None]
    found: bool | None
    false_positives: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionScore:
    """Scores of one region of one image; None where a measure is not defined.

    Attributes:
        volume_error_ml: Predicted minus reference.
        volume_error_relative: The same divided by the reference; None when that is empty.
    """

    dice: float | None
    surface_dice: float | None
    hd95_mm: float | None
    reference_ml: float
    predicted_ml: float
    volume_error_ml: float
    volume_error_relative: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionDecision:
    """The verdict on a challenger, with the sentence an auditor will read."""

    promote: bool
    reason: str
