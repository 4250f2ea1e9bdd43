"""Which files belong to a case, and how one is scored; scores are kept, so that a second run reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from lib.domain.criteria import CRITERIA, IOU_THRESHOLD, SURFACE_TOLERANCE_MM, Criterion
from lib.domain.drawn import DRAWN, drawn_structures
from lib.domain.errors import GeometryError, RenalError
from lib.domain.records import RegionScore
from lib.domain.structures import BACKGROUND, MASS, REGIONS, STRUCTURES
from lib.evaluation.report import Problem, ProblemKind
from lib.imaging.geometry import along, check_same_grid
from lib.imaging.lesions import largest_diameter_mm, voxel_ml
from lib.imaging.matching import MassMatch, match_masses
from lib.imaging.metrics import METRICS_VERSION, foreground_box, score_region
from lib.imaging.volume import Grid, Volume, read_grid, read_label, write_bytes

KEPT = "scores"
_MASS = next(name for name, row in STRUCTURES.items() if row.value == MASS)
_SAYS_DRAWN = (DRAWN, "label_info")
LEFT_OUT = "left out"
Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFiles:
    """Files of one image to score.

    Attributes:
        image: None when only its label is there.
        told: What the label's record says, above all which structures were drawn.
        prediction: None when its absence counts as a prediction of nothing.
        compared: Of the second set of predictions.
    """

    image_id: str
    image: Path | None
    reference: Path
    told: Mapping[str, object]
    prediction: Path | None
    compared: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What to measure, and where scores are kept (nowhere when None)."""

    tolerance_mm: float = SURFACE_TOLERANCE_MM
    iou_threshold: float = IOU_THRESHOLD
    keep: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredReference:
    """A mass of the reference; ``dice`` with the predicted masses assigned to it."""

    volume_ml: float
    diameter_mm: float
    dice: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPrediction:
    """A predicted mass; ``finds`` holds indices of reference masses, by criterion."""

    volume_ml: float
    centre_ras: Point
    finds: Mapping[Criterion, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Scores of one prediction, before any threshold on its masses.

    Attributes:
        regions: By name, those that were drawn completely.
        masses: Of the reference, largest first.
        predicted: Largest first.
        turned: Whether the prediction's axes had to be permuted or flipped.
    """

    regions: Mapping[str, RegionScore]
    masses: tuple[ScoredReference, ...]
    predicted: tuple[ScoredPrediction, ...]
    turned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one case: scores, or the problem that prevented them; and the hashes of its files."""

    scored: Scored | None
    problems: tuple[Problem, ...]
    reference_sha256: str = ""
    prediction_sha256: str = ""


_SCORED = TypeAdapter(Scored)


def score_files(files: CaseFiles, prediction: Path | None, measure: Measure) -> Outcome:
    """Score one prediction against its label; what cannot be scored comes back as a problem.

    Args:
        files: The case.
        prediction: One of its predictions; None for a prediction of nothing.
        measure: What to measure.
    """
    try:
        grid = _grid_of(files, files.image) if files.image else None
        reference_sha256 = _sha256(files, files.reference, "unreadable_label")
        prediction_sha256 = _sha256(files, prediction, "unreadable_prediction") if prediction else ""
        kept = _kept_at(measure, files, grid, (reference_sha256, prediction_sha256))
        scored = _read_kept(kept)
        if scored is None:
            scored = _score(files, prediction, grid, measure)
            if kept:
                write_bytes(_SCORED.dump_json(scored), kept)
    except _RefusedError as error:
        return Outcome(scored=None, problems=(error.problem,))
    return Outcome(
        scored=scored,
        problems=(_turned(files.image_id),) if scored.turned else (),
        reference_sha256=reference_sha256,
        prediction_sha256=prediction_sha256,
    )


def score_labels(prediction: Volume, reference: Volume, drawn: frozenset[str], measure: Measure) -> Scored:
    """Score one label against another on the same grid."""
    box = foreground_box((prediction.data != BACKGROUND) | (reference.data != BACKGROUND))
    to_mm, first = reference.affine[:3, :3], np.array([edge.start for edge in box])
    ours, theirs = prediction.data[box], reference.data[box]
    match = match_masses(ours == MASS, theirs == MASS, iou_threshold=measure.iou_threshold)
    return Scored(
        regions={
            name: score_region(_among(ours, names), _among(theirs, names), to_mm, tolerance_mm=measure.tolerance_mm)
            for name, names in REGIONS.items()
            if drawn.issuperset(names)
        },
        masses=_reference_masses(match, to_mm),
        predicted=_predicted_masses(match, to_mm, to_mm @ first + reference.affine[:3, 3]),
    )


def _among(data: NDArray[np.generic], names: tuple[str, ...]) -> NDArray[np.bool_]:
    return np.isin(data, [STRUCTURES[name].value for name in names])


def _reference_masses(match: MassMatch, to_mm: NDArray[np.float64]) -> tuple[ScoredReference, ...]:
    return tuple(
        ScoredReference(
            volume_ml=voxels * voxel_ml(to_mm),
            diameter_mm=largest_diameter_mm(np.argwhere(match.reference_numbered == index + 1), to_mm),
            dice=match.dice[index],
        )
        for index, voxels in enumerate(match.reference_voxels)
    )


def _predicted_masses(
    match: MassMatch, to_mm: NDArray[np.float64], origin_ras: NDArray[np.float64]
) -> tuple[ScoredPrediction, ...]:
    return tuple(
        ScoredPrediction(
            volume_ml=voxels * voxel_ml(to_mm),
            centre_ras=_point(to_mm @ match.centres_ijk[index] + origin_ras),
            finds={name: tuple(np.flatnonzero(match.finds[name][index]).tolist()) for name in CRITERIA},
        )
        for index, voxels in enumerate(match.predicted_voxels)
    )


def _point(place: NDArray[np.float64]) -> Point:
    x, y, z = place.tolist()
    return x, y, z


class _RefusedError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.seen)
        self.problem = problem


def _score(files: CaseFiles, prediction: Path | None, grid: Grid | None, measure: Measure) -> Scored:
    reference = _read(files, files.reference, "unreadable_label")
    grid = grid or Grid(shape=reference.shape, affine=reference.affine)
    reference, _ = _on_grid(files, reference, grid, "label")
    drawn = _drawn(files, reference)
    if prediction is None:
        nothing = Volume(data=np.zeros_like(reference.data), affine=reference.affine)
        return score_labels(nothing, reference, drawn, measure)
    proposal = _read(files, prediction, "unreadable_prediction")
    proposal, turned = _on_grid(files, proposal, grid, "prediction")
    scored = score_labels(proposal, reference, drawn, measure)
    return replace(scored, turned=turned)


def _drawn(files: CaseFiles, reference: Volume) -> frozenset[str]:
    try:
        drawn = drawn_structures(files.told, empty=not reference.data.any())
    except RenalError as error:
        raise _refused(files, "unreadable_label", str(error), "names of the structure table") from None
    if _MASS not in drawn:
        raise _refused(
            files, "mass_not_drawn", f"a label of {', '.join(sorted(drawn)) or 'nothing'}", "a mass, or none"
        )
    return drawn


def _read(files: CaseFiles, path: Path, kind: ProblemKind) -> Volume:
    try:
        return read_label(path)
    except RenalError as error:
        raise _refused(files, kind, str(error), "a NIfTI label with values of the structure table") from None


def _grid_of(files: CaseFiles, image: Path) -> Grid:
    try:
        return read_grid(image)
    except RenalError as error:
        raise _refused(files, "unreadable_image", str(error), "a NIfTI image") from None


def _on_grid(files: CaseFiles, label: Volume, grid: Grid, what: str) -> tuple[Volume, bool]:
    """The label on the grid, and whether its axes had to be turned for that."""
    try:
        check_same_grid(label, grid)
    except GeometryError:
        turned = along(label, grid)
        try:
            check_same_grid(turned, grid)
        except GeometryError as error:
            raise _refused(files, "other_grid", f"{what}: {error}", "the image's grid, if turned") from None
        return turned, True
    return label, False


def _refused(files: CaseFiles, kind: ProblemKind, seen: str, expected: str) -> _RefusedError:
    problem = Problem(kind=kind, image_id=files.image_id, seen=seen, expected=expected, effect=LEFT_OUT)
    return _RefusedError(problem)


def _turned(image_id: str) -> Problem:
    return Problem(
        kind="turned_grid",
        image_id=image_id,
        seen="a prediction whose axes are permuted or flipped against the label's",
        expected="the label's own voxel axes",
        effect="turned, exactly, and scored",
    )


def _sha256(files: CaseFiles, path: Path, kind: ProblemKind) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _refused(files, kind, f"a file that cannot be opened ({error.strerror})", "a readable file") from None


def _kept_at(measure: Measure, files: CaseFiles, grid: Grid | None, hashes: tuple[str, str]) -> Path | None:
    """Where these scores are kept: named by everything that they follow from."""
    if measure.keep is None:
        return None
    facts = (
        METRICS_VERSION,
        hashes,
        [files.told.get(key) for key in _SAYS_DRAWN],
        measure.tolerance_mm,
        measure.iou_threshold,
        None if grid is None else (grid.shape, grid.affine.tolist()),
    )
    return measure.keep / KEPT / f"{hashlib.sha256(repr(facts).encode()).hexdigest()}.json"


def _read_kept(path: Path | None) -> Scored | None:
    """Scores that an earlier run kept; None when there are none, or they are damaged."""
    if path is None:
        return None
    try:
        return _SCORED.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
