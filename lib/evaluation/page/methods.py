"""The methods section of a paper, written from the options and versions that the document states."""

from __future__ import annotations

from dataclasses import dataclass

from lib.evaluation.page.wording import count_of, criterion_title, listed, number
from lib.evaluation.report import PredictionSource, Report

_PERCENT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """One titled paragraph."""

    title: str
    text: str


def lead(report: Report) -> str:
    """The first sentences of the page: how much was scored, and how much was not."""
    counts = report.counts
    scored = (
        f"{count_of(counts.scored, 'image')} of {count_of(counts.scored_patients, 'patient')} with "
        f"{count_of(counts.masses, 'mass', 'masses')} {_was(counts.scored)} scored"
    )
    left_out = f"{counts.excluded:,} more {_was(counts.excluded)} left out" if counts.excluded else "none was left out"
    seen = len(report.problems)
    noted = f" {count_of(seen, 'thing')} in the input {_was(seen)} not as expected." if seen else ""
    return f"{scored}; {left_out}.{noted}"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def methods(report: Report) -> list[Paragraph]:
    """Everything that a reader needs to repeat the figures, in the order of a methods section."""
    parts = {
        "Data": _data(report),
        "Groups": _groups(report),
        "Models": _models(report),
        "Detection": _detection(report),
        "Segmentation": _segmentation(report),
        "Empty masks": _EMPTY,
        "Uncertainty": _uncertainty(report),
        "Subgroups": _subgroups(report),
        "Regression": _regression(report),
        "Comparison of two models": _comparison(report),
        "Software": _software(report),
    }
    return [Paragraph(title=title, text=text) for title, text in parts.items() if text]


def _data(report: Report) -> str:
    counts, options = report.counts, report.provenance.options
    missing = {
        "exclude": "Images without a prediction were left out.",
        "empty": "An image without a prediction counted as a prediction of nothing.",
    }[options.missing]
    return (
        f"The cohort holds {count_of(counts.images, 'image')} of {count_of(counts.patients, 'patient')}; "
        f"{counts.labelled:,} are labelled and {counts.predicted:,} predicted. {count_of(counts.scored, 'image')} of "
        f"{count_of(counts.scored_patients, 'patient')} with {count_of(counts.masses, 'mass', 'masses')} "
        f"{_was(counts.scored)} scored, {counts.excluded:,} left out; each reason is listed under "
        f"“What could not be scored”. {missing} The reference standard is the reader's label. A mass is a 26-connected "
        "component of voxels labelled as mass."
    )


def _groups(report: Report) -> str:
    rules = "; ".join(f"“{group.name}”: {group.rule.rstrip('.')}" for group in report.groups)
    return f"{rules}." if rules else ""


def _models(report: Report) -> str:
    both = [source for source in (report.provenance.predictions, report.provenance.comparison) if source]
    return " ".join(_source(source, several=len(both) > 1) for source in both)


def _source(source: PredictionSource, *, several: bool) -> str:
    name = f"The {source.name} set of predictions" if several else "The set of predictions"
    stated = [f"{code} by {listed(versions)}" for code, versions in source.models.items() if versions]
    made = f", made for {listed(stated)}" if stated else "; what made them is not stated"
    return f"{name} holds {count_of(source.images, 'image')}{made}."


def _detection(report: Report) -> str:
    options = report.provenance.options
    score = {
        "confidence": "the confidence that the model states for it",
        "volume_ml": "its volume, because no confidence is stated for every proposed mass",
    }[report.provenance.froc_score]
    return (
        "A mass counts as found by three criteria, side by side: any voxel of a proposed mass lies in it "
        f"({criterion_title('overlap', options)}); one proposed mass and it have an intersection over union of at "
        f"least {options.iou_threshold:g}; or the centre of a proposed mass, rounded to the nearest voxel, lies in it. "
        "A patient counts as found when at least one of their masses is found in any of their images that are looked "
        "at. A proposed mass that finds nothing by a criterion is a false positive by it; false positives are counted "
        "per scored image, with or without a mass. The free-response curve (FROC) varies a threshold on the score of "
        f"each proposed mass: {score}."
    )


def _segmentation(report: Report) -> str:
    tolerance = report.provenance.options.surface_tolerance_mm
    return (
        "Overlap is measured by the Dice similarity coefficient (DSC); distances by the share of both surfaces' "
        f"voxels within {tolerance:g} mm of the other surface (surface Dice) and by the larger of the two directed "
        "95th percentiles of surface distances (HD95). The volume error is predicted minus reference, its agreement "
        "shown after Bland and Altman (bias ± 1.96 standard deviations). Structures are taken together as in the KiTS "
        "challenge: kidney, mass and cyst; mass and cyst; mass. A set is scored only where the reader drew all of its "
        "structures. Per patient means: a patient with several images counts with their mean. Per mass means: the "
        "reference mass with the proposed masses that share most voxels with it; 0 when it is missed."
    )


_EMPTY = (
    "When reference and prediction are both empty, DSC, surface Dice and HD95 are not defined and the image does not "
    "enter their summaries. When only the reference is empty, the proposed masses count as false positives and the "
    "image does not enter the summaries either. When only the prediction is empty, DSC and surface Dice are 0 and "
    "enter them; HD95 is not defined, and how often is stated."
)


def _uncertainty(report: Report) -> str:
    options = report.provenance.options
    return (
        f"Intervals have a level of {number(options.confidence * _PERCENT, 0)} %. Those of medians, means and rates "
        f"per scan come from {options.bootstrap_draws:,} bootstrap resamples of patients (seed {options.seed}), those "
        "of proportions from Wilson's formula, widened after Rao and Scott where masses share a patient."
    )


def _subgroups(report: Report) -> str:
    if not report.subgroups:
        return ""
    options = report.provenance.options
    origin = {
        "label": "the largest diameter in the reference label",
        "column": "the cohort's column size_mm",
    }[options.size_from]
    used = sorted({test.test for row in report.subgroups for test in row.tests if test.test})
    tested = f"Tests, on patients only: {listed(used)}. " if used else "No test could be made. "
    factors = list(dict.fromkeys(row.factor for row in report.subgroups))
    return (
        f"Subgroups by {listed(factors)}; sizes are {origin}. {tested}P values are corrected after Holm for every test "
        "of the same sequence."
    )


def _regression(report: Report) -> str:
    if not report.regressions:
        return ""
    return (
        "The DSC of the mass, one row an image with a mass, was explained by the factors with ordinary least squares; "
        "intervals and p values come from heteroscedasticity-consistent standard errors (HC3), collinearity is shown "
        "as variance inflation factors (VIF). Because images of one patient are not independent, a mixed model with a "
        "random intercept for each patient stands beside it where it can be fitted."
    )


def _comparison(report: Report) -> str:
    if report.comparison is None:
        return ""
    return (
        f"Two sets of predictions were compared on the {count_of(report.comparison.images, 'image')} of "
        f"{count_of(report.comparison.patients, 'patient')} that both hold. Differences are second minus first, with "
        "intervals from a bootstrap of patients that keeps the pairs together."
    )


def _software(report: Report) -> str:
    source = report.provenance
    libraries = ", ".join(f"{name} {version}" for name, version in source.libraries.items())
    used = f", with {libraries}" if libraries else ""
    return (
        f"renal-loop {source.software_version}, definitions of the metrics {source.metrics_version}{used}. The same "
        "files, options and seed give the same figures."
    )
