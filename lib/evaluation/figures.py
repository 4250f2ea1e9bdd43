"""The figures a report is made of: estimates, summaries, rates, tests and models. None stands for "not defined"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lib.domain.criteria import Criterion

Unit = Literal["patient", "mass"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % confidence interval (or the level that the options state)."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a measure is distributed over patients or masses.

    Attributes:
        n: Values that are defined.
        undefined: Values that are not, e.g. a surface distance to an empty mask.
        sd: With n - 1.
        q1: Lower quartile, linear interpolation.
        q3: Upper quartile.
        low: Lower limit of the confidence interval of the median, from a bootstrap of patients.
        high: Upper limit.
    """

    n: int
    undefined: int = 0
    mean: float | None = None
    sd: float | None = None
    median: float | None = None
    q1: float | None = None
    q3: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """``count`` of ``total``, with Wilson's interval, widened for masses that share a patient (Rao and Scott)."""

    count: int
    total: int
    rate: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionResult:
    """Detection by one criterion.

    Attributes:
        masses: Reference masses that were found.
        patients: Patients with a mass of whom at least one was found.
        false_positives: Predicted masses that find nothing by this criterion.
        per_scan: The same divided by the number of scored images, with a bootstrap interval.
    """

    criterion: Criterion
    masses: Proportion
    patients: Proportion
    false_positives: int
    per_scan: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class FrocPoint:
    """Sensitivity per mass and false positives per scan when only masses scored ``threshold`` or more are kept."""

    threshold: float
    sensitivity: float
    false_positives_per_scan: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrocCurve:
    """Points in order of falling threshold; what the score is, ``provenance.froc_score`` says."""

    criterion: Criterion
    points: tuple[FrocPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionResult:
    """Overlap and distances of one region (a set of structures taken together), one value a patient.

    Attributes:
        region: Row of REGIONS.
        measures: By name: ``dice``, ``surface_dice``, ``hd95_mm``, ``volume_error_ml``, ``volume_error_relative``.
    """

    region: str
    measures: Mapping[str, Summary]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlandAltman:
    """Agreement of mass volumes, predicted minus reference, in ml: bias and 95 % limits (bias ± 1.96 sd)."""

    n: int
    bias: Estimate
    sd: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubgroupLevel:
    """One row of a subgroup table.

    Attributes:
        level: Its name, e.g. ``2-3 cm``.
        dice: Of the mass, per patient or per mass as the table's unit says.
        detection: By criterion, of patients or masses as the table's unit says.
    """

    level: str
    images: int
    patients: int
    masses: int
    dice: Summary
    detection: Mapping[Criterion, Proportion]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubgroupTest:
    """Whether levels differ.

    Attributes:
        outcome: What is compared; detection is by the overlap criterion.
        test: Name of the test; empty when none could be made, and ``note`` says why.
        p_holm: Adjusted for every test of the same sequence (Holm).
        note: What a reader has to know, else empty.
    """

    outcome: Literal["dice", "detection"]
    test: str
    n: int
    levels: int
    statistic: float | None = None
    p: float | None = None
    p_holm: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgroup:
    """One factor of one sequence.

    Attributes:
        factor: Column of ``cohort.csv``, or ``size``.
        source: Where the values come from.
        unit: What a row counts. Tests are made on patients only: masses of one patient are not independent.
    """

    factor: str
    source: str
    unit: Unit
    sequence: str
    levels: tuple[SubgroupLevel, ...]
    tests: tuple[SubgroupTest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One coefficient.

    Attributes:
        name: ``intercept``, the factor itself when it is a number, else ``factor: level``.
        reference: Level that a categorical one is compared with; empty otherwise.
        unit: Of one step of a number, e.g. ``mm``; empty otherwise.
        se: Robust (HC3) for least squares.
        vif: Variance inflation factor; None for the intercept and in the mixed model.
    """

    name: str
    factor: str
    estimate: float
    se: float | None
    low: float | None
    high: float | None
    p: float | None
    reference: str = ""
    unit: str = ""
    vif: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedModel:
    """The same factors with a random intercept for each patient; ``reason`` says why when it was not fitted."""

    fitted: bool
    reason: str
    n: int = 0
    patients: int = 0
    terms: tuple[Term, ...] = ()
    patient_sd: float | None = None
    residual_sd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """Linear model of the mass's DSC, one row an image with a mass.

    Attributes:
        sequence: Code, or ``all``: every sequence together, with the sequence as a factor.
        status: ``reduced`` when terms were dropped because the others determine them.
        reason: The sentence that says what was done or why nothing was.
        excluded: Images left out: a factor is unknown, or its level too rare.
        dropped: Names of the terms that the others determine.
        image_ids: Of the rows, in the order of ``fitted`` and ``residuals``.
    """

    sequence: str
    status: Literal["fitted", "reduced", "not_fitted"]
    reason: str
    factors: tuple[str, ...]
    n: int
    excluded: int
    mixed: MixedModel
    terms: tuple[Term, ...] = ()
    dropped: tuple[str, ...] = ()
    r2: float | None = None
    r2_adjusted: float | None = None
    residual_df: int = 0
    condition_number: float | None = None
    image_ids: tuple[str, ...] = ()
    fitted: tuple[float, ...] = ()
    residuals: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedResult:
    """One measure of two prediction sets on the same images; difference is second minus first.

    Attributes:
        measure: ``dice``, ``surface_dice``, ``hd95_mm``, ``detected_patients``, ``detected_masses`` or
            ``false_positives_per_scan``; detection by ``criterion``.
        n: Pairs in which both values are defined.
        difference: Mean of the differences, with the interval of a bootstrap of patients.
    """

    sequence: str
    group: str
    measure: str
    criterion: Criterion | None
    n: int
    patients: int
    first: float | None
    second: float | None
    difference: Estimate
