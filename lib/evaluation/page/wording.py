"""How figures and names are written for people; a dash stands for "not defined"."""

from __future__ import annotations

from collections.abc import Mapping

from lib.domain.criteria import Criterion
from lib.domain.sequences import SEQUENCES
from lib.evaluation.figures import Estimate, Proportion, Summary
from lib.evaluation.regression import EVERY
from lib.evaluation.report import Options, ProblemKind

DASH = "–"
_SMALLEST_P = 0.001
_PERCENT = 100.0

REGION_TITLES: Mapping[str, str] = {
    "kidney_mass_cyst": "kidney, mass and cyst together",
    "mass_cyst": "mass and cyst together",
    "mass": "mass",
}
MEASURE_TITLES: Mapping[str, str] = {
    "dice": "DSC of the mass",
    "surface_dice": "surface Dice of the mass",
    "hd95_mm": "HD95 of the mass, mm",
    "detected_patients": "patients found",
    "detected_masses": "masses found",
    "false_positives_per_scan": "false positives per scan",
}
PROBLEM_TITLES: Mapping[ProblemKind, str] = {
    "unlabelled": "Images without a label",
    "mass_not_drawn": "Labels in which the mass was not drawn",
    "unreadable_label": "Labels that cannot be read",
    "unreadable_image": "Images that cannot be read",
    "missing_prediction": "Images without a prediction",
    "unreadable_prediction": "Predictions that cannot be read",
    "other_grid": "Files on another grid than their image",
    "turned_grid": "Predictions with turned axes",
    "empty_reference": "Labels without a mass",
    "unknown_prediction": "Predictions that belong to no image",
    "other_sequence": "Images predicted as another sequence",
    "unknown_column": "Columns that the cohort does not have",
    "unknown_value": "Values that cannot be used",
    "small_group": "Groups too small for a figure",
    "unreadable_table": "Tables that cannot be read",
    "unpaired": "Images that only one model predicted",
}


def number(value: float | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals and a true minus sign."""
    if value is None:
        return DASH
    text = f"{value:,.{digits}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else f"{0:.{digits}f}"


def span(low: float | None, high: float | None, digits: int = 3) -> str:
    """Two limits; a dash when either is not defined."""
    return DASH if low is None or high is None else f"{number(low, digits)} to {number(high, digits)}"


def with_span(value: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """A number and its limits in brackets, where there are any."""
    limits = span(low, high, digits)
    return number(value, digits) if limits == DASH else f"{number(value, digits)} ({limits})"


def estimate(figure: Estimate, digits: int = 3) -> str:
    """An estimate and its interval."""
    return with_span(figure.value, figure.low, figure.high, digits)


def median(summary: Summary, digits: int = 3) -> str:
    """A median and the interval of it."""
    return with_span(summary.median, summary.low, summary.high, digits)


def quartiles(summary: Summary, digits: int = 3) -> str:
    """The lower and the upper quartile."""
    return span(summary.q1, summary.q3, digits)


def median_quartiles(summary: Summary, digits: int = 3) -> str:
    """A median and the quartiles in brackets."""
    return with_span(summary.median, summary.q1, summary.q3, digits)


def mean_sd(summary: Summary, digits: int = 3) -> str:
    """A mean and the standard deviation, where there is one."""
    if summary.sd is None:
        return number(summary.mean, digits)
    return f"{number(summary.mean, digits)} ± {number(summary.sd, digits)}"


def percent(share: float | None) -> str:
    """A share of 1 in per cent."""
    return DASH if share is None else f"{number(share * _PERCENT, 1)} %"


def proportion(figure: Proportion) -> str:
    """A rate, what it is made of, and its interval."""
    if not figure.total:
        return DASH
    text = f"{percent(figure.rate)} ({figure.count}/{figure.total}"
    if figure.low is not None and figure.high is not None:
        text += f"; {number(figure.low * _PERCENT, 1)} to {number(figure.high * _PERCENT, 1)}"
    return f"{text})"


def p_value(p: float | None) -> str:
    """A p value as journals want it."""
    if p is None:
        return DASH
    return f"< {_SMALLEST_P}" if p < _SMALLEST_P else number(p)


def sequence_title(code: str) -> str:
    """A sequence's code with its name."""
    row = SEQUENCES.get(code)
    if row:
        return f"{code} ({row.title})"
    return "All sequences together" if code == EVERY else code


def criterion_title(criterion: Criterion, options: Options) -> str:
    """A criterion of detection in words."""
    titles: Mapping[Criterion, str] = {
        "overlap": "any overlap",
        "iou": f"IoU ≥ {options.iou_threshold:g}",
        "centre": "centre in the mass",
    }
    return titles[criterion]


def count_of(number_of: int, one: str, many: str = "") -> str:
    """A count with its noun in the right number."""
    return f"{number_of:,} {one if number_of == 1 else many or f'{one}s'}"


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Names in a sentence: ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def sentence(text: str) -> str:
    """Text with a capital at its beginning and a full stop at its end, unless it is empty."""
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""
