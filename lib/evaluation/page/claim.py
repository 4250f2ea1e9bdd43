"""The Checklist for Artificial Intelligence in Medical Imaging (CLAIM, 2024 update), as far as the document knows.

Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300. The 44 items are worded here in our own words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from lib.evaluation.page.wording import count_of, listed
from lib.evaluation.report import Report

Status = Literal["stated", "in part", "not known to this software"]

SECTIONS: Mapping[str, Mapping[int, str]] = {
    "Title and abstract": {
        1: "The title or abstract says that AI is studied, and of which kind",
        2: "The abstract sums up design, methods, results and conclusions",
    },
    "Introduction": {
        3: "Background, and what the AI is meant to be used for",
        4: "Aims and hypotheses",
    },
    "Methods: design": {
        5: "Whether the study looks back or ahead",
        6: "What kind of study it is, e.g. building a model or testing one",
    },
    "Methods: data": {
        7: "Where the data come from",
        8: "Who was included and who was not",
        9: "What was done to the images before they were used",
        10: "Which part of the data was used, and how it was chosen",
        11: "How identities were removed",
        12: "What was done about missing data",
        13: "How the images were acquired",
    },
    "Methods: reference standard": {
        14: "How the reference standard is defined and made",
        15: "Why this reference standard",
        16: "Who annotated, and with what experience",
        17: "How the test set was annotated",
        18: "How much annotators differ from each other and from themselves",
    },
    "Methods: partitions and sample size": {
        19: "How data were divided into parts",
        20: "At which level the parts share nothing, e.g. the patient",
        21: "How many test cases were wanted, and why",
    },
    "Methods: model and training": {
        22: "The model, in enough detail to build it again",
        23: "Software and its versions",
        24: "Where the first weights come from",
        25: "How it was trained",
        26: "How the final model was chosen",
        27: "Whether several models vote, and how",
    },
    "Methods: evaluation": {
        28: "Which measures of performance",
        29: "Which statistics: significance and uncertainty",
        30: "How robust results are to choices and conditions",
        31: "How the model's outputs are explained",
        32: "Evaluation on data of the same origin as the training data",
        33: "Evaluation on data of another origin",
        34: "Registration of a trial",
    },
    "Results": {
        35: "How many patients and images were included and left out",
        36: "Who the patients of each part are",
        37: "Performance with its uncertainty",
        38: "Diagnostic performance and how precise it is",
        39: "What the failures have in common",
    },
    "Discussion": {
        40: "Limitations",
        41: "What follows for practice",
    },
    "Other information": {
        42: "Where the protocol or further details are",
        43: "Whether software, model and data can be had",
        44: "Who paid, and what they had a say in",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAnswer:
    """What is known of one item.

    Attributes:
        text: Empty when nothing is known.
    """

    item: int
    wording: str
    status: Status
    text: str


def claim(report: Report) -> dict[str, list[ClaimAnswer]]:
    """Every item with its answer, by section."""
    return {
        section: [_answer(report, item, wording) for item, wording in items.items()]
        for section, items in SECTIONS.items()
    }


def _answer(report: Report, item: int, wording: str) -> ClaimAnswer:
    status: Status
    for status, answers in (("stated", _STATED), ("in part", _IN_PART)):
        text = answers[item](report) if item in answers else ""
        if text:
            return ClaimAnswer(item=item, wording=wording, status=status, text=text)
    return ClaimAnswer(item=item, wording=wording, status="not known to this software", text="")


def _sources(report: Report) -> str:
    counts = report.counts
    return (
        f"A cohort folder of {count_of(counts.images, 'image')} of {count_of(counts.patients, 'patient')}; groups "
        "are defined under Methods. How its patients were found is not known."
    )


def _missing(report: Report) -> str:
    left_out = report.provenance.options.missing == "exclude"
    return (
        f"An image without a prediction {'is left out' if left_out else 'counts as a prediction of nothing'}; every "
        "one is listed under “What could not be scored”. Regressions state how many images they leave out."
    )


def _acquisition(report: Report) -> str:
    codes = list(dict.fromkeys(case.sequence for case in report.cases))
    return f"Sequences {listed(codes)}. Protocols are not known." if codes else ""


def _reference(report: Report) -> str:
    return (
        "The final label of each image in the cohort folder; SHA-256 of the list of labels "
        f"{report.provenance.labels_sha256[:12]}… How they were drawn is not known."
    )


def _versions(report: Report) -> str:
    versions = sorted({version for stated in report.provenance.predictions.models.values() for version in stated})
    return f"Model versions {listed(versions)}. Their design is not known to the evaluation." if versions else ""


def _libraries(report: Report) -> str:
    stated = [f"{name} {version}" for name, version in report.provenance.libraries.items()]
    named = ["renal-loop " + report.provenance.software_version, *stated]
    return f"Of the evaluation: {listed(named)}. What the model was trained with is not known."


def _robustness(report: Report) -> str:
    factors = list(dict.fromkeys(row.factor for row in report.subgroups))
    return f"Three criteria of detection side by side; subgroups by {listed(factors)}." if factors else ""


def _group_sizes(*names: str) -> Callable[[Report], str]:
    def answer(report: Report) -> str:
        sizes = [
            f"group {group.name}: {count_of(group.images, 'image')} of {count_of(group.patients, 'patient')}"
            for group in report.groups
            if group.name in names and group.images
        ]
        return f"Results hold {listed(sizes)}. What the model was trained on is not checked." if sizes else ""

    return answer


def _flow(report: Report) -> str:
    counts = report.counts
    return f"{counts.scored:,} of {counts.images:,} images scored, {counts.excluded:,} left out, each with its reason."


def _patients(report: Report) -> str:
    factors = list(dict.fromkeys(row.factor for row in report.subgroups))
    return f"Numbers per level of {listed(factors)}, under Subgroups." if factors else ""


def _constant(text: str) -> Callable[[Report], str]:
    return lambda _report: text


_STATED: Mapping[int, Callable[[Report], str]] = {
    10: _constant("Every image with a label and a prediction; the rule of each group is stated."),
    12: _missing,
    28: _constant("Detection by three criteria, FROC, DSC, surface Dice, HD95, volume error: defined under Methods."),
    29: _constant("Intervals, tests and their correction: defined under Methods."),
    35: _flow,
    37: _constant("Under Detection and Segmentation, each with its interval."),
    38: _constant("Under Detection: masses and patients found, false positives per scan, with intervals."),
    39: _constant("Under Failures: the worst images with outlines and what went wrong. Causes are for the authors."),
}
_IN_PART: Mapping[int, Callable[[Report], str]] = {
    7: _sources,
    8: _constant("Which images were scored and why others were not. Who entered the cohort is not known."),
    9: _constant("Scored on each image's own grid, without resampling. What the model did to images is not known."),
    11: _constant("This report names images by pseudonymous ids only. How the cohort was made so is not known."),
    13: _acquisition,
    14: _reference,
    22: _versions,
    23: _libraries,
    30: _robustness,
    32: _group_sizes("internal"),
    33: _group_sizes("external", "non-GE"),
    36: _patients,
    43: _constant("The software is open source (Apache-2.0). Model and data are for the authors to state."),
}
