"""Cases made in memory, and small cohorts with predictions."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from lib.domain.criteria import CRITERIA
from lib.domain.records import RegionScore
from lib.domain.structures import MASS
from lib.evaluation.report import CaseResult, PredictedMass, ReferenceMass
from lib.evaluation.statistics import PatientBootstrap
from lib.imaging.volume import Volume, nifti_files, read_label, write_volume


@pytest.fixture
def bootstrap() -> PatientBootstrap:
    return PatientBootstrap(draws=200, confidence=0.95, seed=0)


@pytest.fixture
def case() -> Callable[..., CaseResult]:
    """A case: ``case(1, found=[0.9, None], wrong=[0.4])`` has two masses, the first found at a score of 0.9."""

    def make(
        patient: int,
        *,
        sequence: str = "CP",
        found: Sequence[float | None] = (1.0,),
        wrong: Sequence[float] = (),
        dice: float | None = 0.8,
        size_mm: float = 25.0,
        groups: Sequence[str] = ("all",),
        **factors: str,
    ) -> CaseResult:
        predicted = [(score, True) for score in found if score is not None] + [(score, False) for score in wrong]
        score = RegionScore(
            dice=dice,
            surface_dice=dice,
            hd95_mm=3.0 if dice else None,
            reference_ml=5.0 if found else 0.0,
            predicted_ml=4.0 if dice else 0.0,
            volume_error_ml=-1.0 if dice else -5.0,
            volume_error_relative=-0.2 if dice else -1.0,
        )
        return CaseResult(
            image_id=f"P{patient:03d}_{sequence}",
            patient=patient,
            sequence=sequence,
            groups=tuple(groups),
            factors=factors,
            model_version="m1",
            prediction="file",
            reference_sha256="",
            prediction_sha256="",
            size_mm=size_mm if found else None,
            regions={"mass": score},
            masses=tuple(
                ReferenceMass(volume_ml=5, diameter_mm=size_mm, dice=dice or 0.0, found_at=dict.fromkeys(CRITERIA, at))
                for at in found
            ),
            predicted=tuple(
                PredictedMass(volume_ml=1, score=score, finds=dict.fromkeys(CRITERIA, finds))
                for score, finds in predicted
            ),
        )

    return make


@pytest.fixture
def predicted(make_cohort: Callable[..., Path], tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """A small cohort and its labels as predictions, masses moved by some voxels: (cohort, predictions)."""

    def make(patients: Sequence[str], codes: Sequence[str], shift: int = 1, name: str = "first") -> tuple[Path, Path]:
        cohort, folder = tmp_path / "cohort", tmp_path / name
        if not cohort.exists():
            make_cohort(list(patients), list(codes))
        for image_id, path in nifti_files(cohort / "labels" / "final").items():
            write_volume(moved(read_label(path), shift), folder / f"{image_id}.nii.gz")
        rows = {image_id: {"model_version": f"{name}-1"} for image_id in nifti_files(folder)}
        (folder / "predictions.json").write_text(json.dumps({"images": rows, "failed": {}}))
        return cohort, folder

    return make


def moved(label: Volume, shift: int) -> Volume:
    """The label with its mass moved along the first axis."""
    mass = np.roll(label.data == MASS, shift, axis=0)
    return Volume(data=np.where(mass, MASS, label.data * (label.data != MASS)).astype(np.uint8), affine=label.affine)
