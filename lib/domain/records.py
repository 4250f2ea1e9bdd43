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
        image_id: ``<patient_id>_<code>``; ``<patient_id>-study2_<code>`` in the patient's second study.
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


def scanner_name(vendor: str, model: str) -> str:
    """Name a scanner by its vendor and model, as far as they are known."""
    return f"{vendor} {model}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """An image with its final label, as training and scoring take it.

    Attributes:
        patient_id: A pseudonym; decides the side of the split.
        drawn: Names of the structures that the reader drew; the others are unknown, not absent.
        vendor: Empty when unknown.
        scanner_model: Empty when unknown.
        label_sha256: Of the label's version, hexadecimal; empty when it has none.
        proposed_by: Version of the model whose proposal the reader started from; empty when there was none.
        weight: How often training looks at it, relative to the other cases; 0 is never.
    """

    image_id: str
    patient_id: str
    image: Path
    label: Path
    drawn: frozenset[str]
    vendor: str = ""
    scanner_model: str = ""
    label_sha256: str = ""
    proposed_by: str = ""
    weight: float = 1.0

    @property
    def scanner(self) -> str:
        """Vendor and model, as far as they are known."""
        return scanner_name(self.vendor, self.scanner_model)


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
        confidence: Of a proposal: the share of it that is expected to be right, or, of a network that was never
            assessed, the mean probability of its voxels; None of a label that a person drew.
    """

    volume_ml: float
    diameter_mm: float
    side: Literal["left", "right", "unknown"]
    small: bool
    centre_ras: tuple[float, float, float]
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An image as the order of work sees it.

    Attributes:
        size: Diameter of the patient's largest mass in mm, as the cohort table has it; empty when it does not.
        uncertainty: By structure, as ``lib.scoring.uncertainty`` measures it; empty when not measured yet.
        disagreement: By structure, as ``lib.scoring.disagreement`` measures it; empty when not measured yet.
        model_version: Of the model whose proposals were measured; empty when none were.
    """

    image_id: str
    patient_id: str
    sequence: str
    centre: str
    scanner: str
    size: str = ""
    uncertainty: Mapping[str, float] = field(default_factory=dict)
    disagreement: Mapping[str, float] = field(default_factory=dict)
    model_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priority:
    """An image's place in the queue, and why (the sentence a reader sees)."""

    image_id: str
    patient_id: str
    reason: str


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
        patient_id: A pseudonym.
        vendor: Empty when unknown.
        scanner: Vendor and model; empty when unknown.
        size_mm: Largest diameter of the reference's largest mass; None without a mass.
        masses_found: For each mass of the reference, largest first, whether any voxel of it is touched.
    """

    image_id: str
    dice: Mapping[str, float | None]
    found: bool | None
    false_positives: int
    patient_id: str = ""
    vendor: str = ""
    scanner: str = ""
    size_mm: float | None = None
    masses_found: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupComparison:
    """Challenger against champion on the same patients of one group.

    Attributes:
        group: What the patients share, e.g. ``GE up to 20 mm``; ``all`` for everyone.
        measure: What was compared: a structure's Dice.
        patients: How many.
        champion: Mean over the patients.
        challenger: Mean over the patients.
        lower: One-sided lower confidence bound of the mean difference (challenger less champion).
        upper: One-sided upper confidence bound of the same.
        margin: How far the lower bound may lie below zero.
    """

    group: str
    measure: str
    patients: int
    champion: float
    challenger: float
    lower: float
    upper: float
    margin: float

    @property
    def difference(self) -> float:
        """Mean difference, challenger less champion."""
        return self.challenger - self.champion

    @property
    def no_worse(self) -> bool:
        """Whether the challenger is shown to be no worse than the margin allows."""
        return self.lower > -self.margin


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
    """The verdict on a challenger, with the sentence an auditor will read and the figures behind it.

    Attributes:
        verdict: ``wait`` when the holdout is too small to judge; the challenger is kept.
        reason: One sentence that names the figures.
        patients: Holdout patients that were judged: those with a mass.
        missing_patients: How many more holdout patients with a mass are needed before it can be judged.
        comparisons: Overall first, then the other structures and every stratum that was judged.
        masses: Masses of the reference.
        lost_masses: Of these, found by the champion and not by the challenger.
        gained_masses: The reverse.
        patients_sha256: Of the holdout's list of patients.
        labels_sha256: Of the list of images and label versions that were scored.
    """

    verdict: Literal["promote", "refuse", "wait"]
    reason: str
    patients: int = 0
    missing_patients: int = 0
    comparisons: tuple[GroupComparison, ...] = ()
    masses: int = 0
    lost_masses: int = 0
    gained_masses: int = 0
    patients_sha256: str = ""
    labels_sha256: str = ""

    @property
    def promote(self) -> bool:
        """Whether the challenger goes live."""
        return self.verdict == "promote"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainDecision:
    """Whether a sequence is trained now, with the sentence that an admin will read.

    Attributes:
        priority: Place in the queue, 1 is next; sequences that are not due come last.
        device: Where to train; empty unless ``go``.
    """

    go: bool
    sequence: str
    priority: int
    reason: str
    device: str = ""
