"""The failure gallery: which images are shown, what went wrong in words, and the slice that shows it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.domain.errors import RenalError
from lib.domain.structures import MASS
from lib.evaluation.cases import CaseFiles
from lib.evaluation.page.drawings import sequences_of
from lib.evaluation.page.wording import DASH, count_of, number
from lib.evaluation.report import CaseResult, ReferenceMass, Report
from lib.evaluation.results import MASS_REGION
from lib.imaging.geometry import along, check_same_grid, to_canonical
from lib.imaging.lesions import components
from lib.imaging.overlay import comparison_picture
from lib.imaging.volume import Grid, Volume, read_grid, read_label, read_volume

WORST_WITH_MASS, WORST_WITHOUT = 3, 1  # a sequence
MOST = 24
_HALF, _DOUBLE = 0.5, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One card of the gallery.

    Attributes:
        words: What went wrong.
        numbers: Title and value of each figure shown.
        picture: Data address of the overlay; empty when it cannot be drawn, and ``absent`` says why.
    """

    image_id: str
    sequence: str
    words: str
    numbers: tuple[tuple[str, str], ...]
    picture: str
    absent: str


def gallery(report: Report, files: Sequence[CaseFiles]) -> list[Failure]:
    """The worst images of every sequence, no more than MOST, by sequence."""
    files_of = {one.image_id: one for one in files}
    return [_failure(case, files_of.get(case.image_id)) for case in worst_cases(report.cases, sequences_of(report))]


def worst_cases(cases: Sequence[CaseResult], codes: Sequence[str]) -> list[CaseResult]:
    """Of each sequence the images with the lowest DSC (the larger mass first), and the largest proposal without a mass.

    Args:
        cases: To choose from.
        codes: Sequences in the order of the page.

    Returns:
        No more than MOST, by sequence; when there are too many, the second worst of any comes after the worst of all.
    """
    ranked = [_worst([case for case in cases if case.sequence == code]) for code in codes]
    chosen = [case for case in chain.from_iterable(zip_longest(*ranked)) if case is not None][:MOST]
    return sorted(chosen, key=lambda case: codes.index(case.sequence))


def _worst(cases: Sequence[CaseResult]) -> list[CaseResult]:
    scored = [(case, case.regions[MASS_REGION]) for case in cases if MASS_REGION in case.regions]
    having = {
        (score.dice, -score.reference_ml, case.image_id): case
        for case, score in scored
        if score.reference_ml > 0 and score.dice is not None and score.dice < 1
    }
    without = {
        (-score.predicted_ml, case.image_id): case
        for case, score in scored
        if score.reference_ml == 0 and score.predicted_ml > 0
    }
    return [
        *(having[key] for key in sorted(having)[:WORST_WITH_MASS]),
        *(without[key] for key in sorted(without)[:WORST_WITHOUT]),
    ]


def what_went_wrong(case: CaseResult) -> str:
    """One or two sentences on an image; found and false are meant by any overlap."""
    score = case.regions[MASS_REGION]
    extra = [mass for mass in case.predicted if not mass.finds["overlap"]]
    if not case.masses:
        return f"The reference holds no mass; {_masses(len(extra))} with {number(score.predicted_ml, 1)} ml."
    missed = [mass for mass in case.masses if mass.found_at["overlap"] is None]
    parts = [_missed(case, missed)] if missed else []
    if len(missed) < len(case.masses):
        parts.append(_outlined(score.reference_ml, score.predicted_ml))
    if extra and case.prediction == "file":
        volume = sum(mass.volume_ml for mass in extra)
        find = "finds" if len(extra) == 1 else "find"
        parts.append(f"{_masses(len(extra)).capitalize()} with {number(volume, 1)} ml {find} nothing.")
    return " ".join(parts)


def _missed(case: CaseResult, missed: Sequence[ReferenceMass]) -> str:
    if case.prediction != "file":
        return "There is no prediction, which counts as one of nothing."
    size = f"{number(max(mass.diameter_mm for mass in missed), 0)} mm"
    if len(missed) < len(case.masses):
        return f"{len(missed)} of {len(case.masses)} masses are missed, the largest of {size}."
    where = "what was proposed lies elsewhere" if case.predicted else "nothing was proposed"
    if len(missed) == 1:
        return f"The mass of {size} is missed: {where}."
    return f"All {len(missed)} masses, the largest of {size}, are missed: {where}."


def _outlined(reference_ml: float, predicted_ml: float) -> str:
    volumes = f"{number(predicted_ml, 1)} ml proposed for {number(reference_ml, 1)} ml"
    if predicted_ml < _HALF * reference_ml:
        return f"Found, but less than half of the volume is outlined: {volumes}."
    if predicted_ml > _DOUBLE * reference_ml:
        return f"Found, but more than twice the volume is outlined: {volumes}."
    return f"Found; the outlines differ: {volumes}."


def _masses(count: int) -> str:
    return count_of(count, "proposed mass", "proposed masses")


def worst_place(reference: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Voxel to look at: in the slice where the largest piece of disagreement is largest, its middle there.

    Args:
        reference: On axes (i, j, k).
        prediction: The same; without any disagreement, the middle of the volume is returned.
    """
    pieces, count = components(reference ^ prediction)
    if not count:
        i, j, k = (length // 2 for length in pieces.shape)
        return i, j, k
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    k = int(np.argmax(largest.sum(axis=(0, 1))))
    i, j = (round(middle) for middle in np.argwhere(largest[:, :, k]).mean(axis=0))
    return i, j, k


def _failure(case: CaseResult, files: CaseFiles | None) -> Failure:
    picture, absent = _picture(files)
    score = case.regions[MASS_REGION]
    numbers = {
        "DSC": number(score.dice),
        "HD95": DASH if score.hd95_mm is None else f"{number(score.hd95_mm, 1)} mm",
        "reference": f"{number(score.reference_ml, 1)} ml",
        "predicted": f"{number(score.predicted_ml, 1)} ml",
        "largest mass": DASH if case.size_mm is None else f"{number(case.size_mm, 0)} mm",
        "model": case.model_version or "not stated",
    }
    return Failure(
        image_id=case.image_id,
        sequence=case.sequence,
        words=what_went_wrong(case),
        numbers=tuple(numbers.items()),
        picture=picture,
        absent=absent,
    )


def _picture(files: CaseFiles | None) -> tuple[str, str]:
    """Data address of the overlay, or the sentence that says why there is none."""
    if files is None or files.image is None:
        return "", "No picture: the image's file is not there."
    try:
        image = read_volume(files.image)
        grid = read_grid(files.image)
        reference = _mask(files.reference, image, grid)
        prediction = _mask(files.prediction, image, grid)
    except RenalError as error:
        return "", f"No picture: {error}."
    place = worst_place(reference, prediction)
    payload = comparison_picture(to_canonical(image), reference, prediction, place)
    return f"data:image/webp;base64,{base64.b64encode(payload).decode()}", ""


def _mask(path: Path | None, image: Volume, grid: Grid) -> NDArray[np.bool_]:
    """Where a label holds a mass, on the image's canonical axes; nowhere without a file.

    Raises:
        GeometryError: When it does not lie on the image's grid.
    """
    if path is None:
        return np.zeros(to_canonical(image).shape, np.bool_)
    label = along(read_label(path), grid)
    check_same_grid(label, grid)
    mask: NDArray[np.bool_] = to_canonical(label).data == MASS
    return mask
