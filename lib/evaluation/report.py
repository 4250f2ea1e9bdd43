"""The report as a document: every record of ``report.json``, written and read in one place.

``docs/evaluation.md`` explains it. A field is added by a new minor ``SCHEMA_VERSION``; removing one or changing what
it means makes a new major one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from lib.domain.criteria import BOOTSTRAP_DRAWS, IOU_THRESHOLD, SURFACE_TOLERANCE_MM, Criterion
from lib.domain.errors import BadReportError
from lib.domain.records import RegionScore
from lib.evaluation.figures import (
    BlandAltman,
    DetectionResult,
    FrocCurve,
    PairedResult,
    Proportion,
    RegionResult,
    Regression,
    Subgroup,
    Summary,
)
from lib.imaging.volume import write_bytes

SCHEMA_VERSION = "1.0"
REPORT_FILE = "report.json"
Missing = Literal["exclude", "empty"]
FrocScore = Literal["confidence", "volume_ml"]
ProblemKind = Literal[
    "unlabelled",
    "mass_not_drawn",
    "unreadable_label",
    "unreadable_image",
    "missing_prediction",
    "unreadable_prediction",
    "other_grid",
    "turned_grid",
    "empty_reference",
    "unknown_prediction",
    "other_sequence",
    "unknown_column",
    "unknown_value",
    "small_group",
    "unreadable_table",
    "unpaired",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in the input that was not as expected.

    Attributes:
        image_id: Empty when it is not about one image.
        effect: What the evaluation did about it.
    """

    kind: ProblemKind
    seen: str
    expected: str
    effect: str
    image_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for; with the files, it determines the report.

    Attributes:
        missing: What an image without a prediction counts as: left out, or a prediction of nothing.
        internal_centres: Named on the command line; when empty, the rule that the group ``internal`` states.
        group_by: Columns that make further groups.
        factors: Columns of the subgroups and the regression, beside size.
        size_from: Where sizes come from: largest diameter in the reference label, or the column ``size_mm``.
        surface_tolerance_mm: Of the surface Dice.
        iou_threshold: Of the criterion ``iou``.
        bootstrap_draws: Resamples of patients for each interval.
        confidence: Level of every interval.
    """

    missing: Missing = "exclude"
    internal_centres: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()
    size_from: Literal["label", "column"] = "label"
    surface_tolerance_mm: float = SURFACE_TOLERANCE_MM
    iou_threshold: float = IOU_THRESHOLD
    bootstrap_draws: int = BOOTSTRAP_DRAWS
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionSource:
    """One folder of predictions.

    Attributes:
        name: ``first`` or ``second``.
        models: Model versions by sequence, as ``predictions.json`` states them; empty without that file.
        sha256: Of the list of image ids and hashes of the prediction files that were scored.
    """

    name: Literal["first", "second"]
    images: int
    models: Mapping[str, tuple[str, ...]]
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What makes a figure traceable.

    Attributes:
        metrics_version: Of the definitions; scores kept from another one are made again.
        libraries: Versions of those that compute.
        labels_sha256: Of the list of image ids and hashes of the label files that were scored.
        patients_sha256: Of the sorted list of patient pseudonyms that were scored.
        froc_score: What a FROC threshold is over.
    """

    software_version: str
    metrics_version: str
    libraries: Mapping[str, str]
    options: Options
    predictions: PredictionSource
    comparison: PredictionSource | None
    labels_sha256: str
    patients_sha256: str
    froc_score: FrocScore


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many images took part; ``scored`` and ``excluded`` add up to ``images``."""

    images: int
    patients: int
    labelled: int
    predicted: int
    scored: int
    excluded: int
    scored_patients: int
    masses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Images that are looked at together; ``rule`` is the sentence that says which."""

    name: str
    rule: str
    images: int
    patients: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """Figures of one sequence in one group.

    Attributes:
        images: Scored images.
        patients: Their patients.
        patients_with_mass: Those with a mass in the reference.
        masses: Reference masses.
        regions: Over patients whose reference holds the region. A patient with several images counts with their mean.
        mass_dice: DSC of each reference mass with the predicted masses assigned to it; 0 for a missed one.
        volume_agreement: Of the mass volume, per image with a mass.
    """

    sequence: str
    group: str
    images: int
    patients: int
    patients_with_mass: int
    masses: int
    detection: tuple[DetectionResult, ...]
    froc: tuple[FrocCurve, ...]
    regions: tuple[RegionResult, ...]
    mass_dice: Summary
    volume_agreement: BlandAltman


@dataclass(frozen=True, slots=True, kw_only=True)
class AnySequenceResult:
    """Patients of a group who are detected in at least one of their scored sequences."""

    group: str
    criterion: Criterion
    patients: Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFact:
    """A figure of the published study, and ours beside it.

    Attributes:
        comparable: Whether the two may be compared at all.
        why: Why, or why not.
    """

    fact: str
    published: str
    observed: str
    comparable: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two prediction sets on the images that both predicted."""

    images: int
    patients: int
    results: tuple[PairedResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceMass:
    """A mass of the reference, largest first.

    Attributes:
        dice: With the predicted masses assigned to it; 0 when there is none.
        found_at: By criterion, the highest score of a predicted mass that finds it; None when missed.
    """

    volume_ml: float
    diameter_mm: float
    dice: float
    found_at: Mapping[Criterion, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedMass:
    """A predicted mass, largest first.

    Attributes:
        score: What the FROC's threshold is over: confidence, or volume in ml.
        finds: By criterion, whether it finds any reference mass; else it is a false positive.
    """

    volume_ml: float
    score: float
    finds: Mapping[Criterion, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One scored image.

    Attributes:
        patient: Number of the patient within this report; images of one patient share it.
        factors: Values of the subgroup factors, as the cohort states them.
        prediction: Whether there was a file, or its absence counted as a prediction of nothing.
        regions: By name; a region that was not drawn completely is absent.
        size_mm: Of the largest mass, from where the options say; None without one.
    """

    image_id: str
    patient: int
    sequence: str
    groups: tuple[str, ...]
    factors: Mapping[str, str]
    model_version: str
    prediction: Literal["file", "counted as empty"]
    reference_sha256: str
    prediction_sha256: str
    size_mm: float | None
    regions: Mapping[str, RegionScore]
    masses: tuple[ReferenceMass, ...]
    predicted: tuple[PredictedMass, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole document."""

    schema_version: str
    provenance: Provenance
    counts: Counts
    problems: tuple[Problem, ...]
    groups: tuple[Group, ...]
    results: tuple[GroupResult, ...]
    any_sequence: tuple[AnySequenceResult, ...]
    subgroups: tuple[Subgroup, ...]
    regressions: tuple[Regression, ...]
    comparison: Comparison | None
    published: tuple[PublishedFact, ...]
    cases: tuple[CaseResult, ...]


REPORT = TypeAdapter(Report)


def write_report(report: Report, folder: Path) -> Path:
    """Write ``report.json`` by an atomic replace; the same report always gives the same bytes."""
    path = folder / REPORT_FILE
    write_bytes(REPORT.dump_json(report, indent=1) + b"\n", path)
    return path


def read_report(path: Path) -> Report:
    """Read a ``report.json``.

    Raises:
        BadReportError: When it is not one of this major schema version.
    """
    try:
        report = REPORT.validate_json(path.read_bytes())
    except FileNotFoundError:
        msg = f"there is no {REPORT_FILE}; expected the folder that 'evaluate' wrote"
        raise BadReportError(msg) from None
    except ValidationError as error:
        msg = f"{REPORT_FILE} has {error.error_count()} fields that do not fit schema version {SCHEMA_VERSION}"
        raise BadReportError(msg) from None
    if report.schema_version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
        msg = f"{REPORT_FILE} has schema version {report.schema_version!r}; expected {SCHEMA_VERSION}"
        raise BadReportError(msg)
    return report
