"""What there is to evaluate: images of a cohort, their labels and predictions, and everything that is amiss."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.domain.cohort import read_cohort
from lib.domain.errors import BadCohortError
from lib.domain.records import CaseRecord
from lib.domain.scanners import UNKNOWN_VENDOR, VENDORS, vendor_of
from lib.domain.sequences import SEQUENCES
from lib.evaluation.cases import LEFT_OUT, CaseFiles
from lib.evaluation.predictions import Predictions, read_predictions
from lib.evaluation.report import Missing, Problem, ProblemKind
from lib.imaging.volume import nifti_files

LABELS = Path("labels") / "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What there is.

    Attributes:
        records: Every row of the table, in the order of image ids.
        files: Of the images that can be scored, in that order.
        labelled: Number of images with a label file.
        first: Predictions to evaluate.
        second: Predictions to compare with.
    """

    records: Sequence[CaseRecord]
    files: Sequence[CaseFiles]
    labelled: int
    first: Predictions
    second: Predictions | None
    problems: tuple[Problem, ...]


def find_inputs(cohort: Path, predictions: Path, compare: Path | None, missing: Missing) -> Inputs:
    """Look at the folders; no voxel is read.

    Raises:
        BadCohortError: When the cohort is not a folder with a usable table.
        BadPredictionsError: When a folder of predictions is not there.
    """
    if not cohort.is_dir():
        msg = "the cohort is not a folder; expected a cohort folder with labels/final"
        raise BadCohortError(msg)
    records = sorted(read_cohort(cohort), key=lambda record: record.image_id)
    first, amiss = read_predictions(predictions)
    second, further = read_predictions(compare) if compare else (None, [])
    images, labels = nifti_files(cohort), nifti_files(cohort / LABELS)
    problems, files = [*amiss, *further], []
    for record in records:
        told, unreadable = _label_record(cohort / LABELS / f"{record.image_id}.json", record.image_id)
        found = [*unreadable, *_input_problems(record, labels, first, missing), *_doubts(record, first)]
        problems += found
        if all(problem.effect != LEFT_OUT for problem in found):
            case = CaseFiles(
                image_id=record.image_id,
                image=images.get(record.image_id),
                reference=labels[record.image_id],
                told=told,
                prediction=first.files.get(record.image_id),
                compared=second.files.get(record.image_id) if second else None,
            )
            files.append(case)
    known = {record.image_id for record in records}
    return Inputs(
        records=records,
        files=files,
        labelled=len(known & labels.keys()),
        first=first,
        second=second,
        problems=(*problems, *map(_unknown, sorted(first.files.keys() - known))),
    )


def _label_record(path: Path, image_id: str) -> tuple[Mapping[str, object], list[Problem]]:
    """What is known of a label; nothing when there is no such file."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError):
        content = None
    if isinstance(content, dict):
        return content, []
    problem = Problem(
        kind="unreadable_table",
        image_id=image_id,
        seen="a label record that is no JSON object",
        expected='e.g. {"structures": ["mass"]}',
        effect="every structure was taken to be drawn",
    )
    return {}, [problem]


def _input_problems(
    record: CaseRecord, labels: Mapping[str, Path], first: Predictions, missing: Missing
) -> list[Problem]:
    """What keeps an image from being scored."""
    image_id = record.image_id
    if image_id not in labels:
        return [
            Problem(
                kind="unlabelled",
                image_id=image_id,
                seen="no label",
                expected=f"{LABELS}/<image_id>.nii.gz",
                effect=LEFT_OUT,
            )
        ]
    if image_id in first.files:
        return []
    return [
        Problem(
            kind="missing_prediction",
            image_id=image_id,
            seen=first.failed.get(image_id, "no prediction"),
            expected="<image_id>.nii.gz among the predictions",
            effect=LEFT_OUT if missing == "exclude" else "counted as a prediction of nothing",
        )
    ]


def _doubts(record: CaseRecord, first: Predictions) -> list[Problem]:
    """What makes figures doubtful without keeping the image from being scored."""
    found: list[tuple[ProblemKind, str, str, str]] = []
    taken_for = first.sequence(record.image_id)
    if taken_for and taken_for != record.sequence:
        seen, expected = f"predicted as {taken_for!r}", f"{record.sequence!r}, as the cohort states"
        found.append(("other_sequence", seen, expected, f"scored as {record.sequence!r}"))
    if record.sequence not in SEQUENCES:
        found.append(("unknown_value", f"sequence {record.sequence!r}", f"one of {', '.join(SEQUENCES)}", "scored"))
    if vendor_of(record.vendor) == UNKNOWN_VENDOR:
        effect = "in no group that depends on the vendor"
        found.append(("unknown_value", f"vendor {record.vendor!r}", f"one of {', '.join(VENDORS)}", effect))
    return [
        Problem(kind=kind, image_id=record.image_id, seen=seen, expected=expected, effect=effect)
        for kind, seen, expected, effect in found
    ]


def _unknown(image_id: str) -> Problem:
    return Problem(
        kind="unknown_prediction",
        image_id=image_id,
        seen="a prediction for an image that the cohort does not list",
        expected="image ids of the cohort",
        effect="ignored",
    )
