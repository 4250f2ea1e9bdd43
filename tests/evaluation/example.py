"""A report with something of everything, made from invented scores through the code that makes real ones.

python -m tests.evaluation.example FOLDER   writes it
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.random import Generator

from lib.domain.criteria import CRITERIA
from lib.domain.records import CaseRecord, RegionScore
from lib.evaluation.cases import LEFT_OUT, Outcome, Scored, ScoredPrediction, ScoredReference
from lib.evaluation.document import make_report
from lib.evaluation.inputs import Inputs
from lib.evaluation.predictions import Predictions
from lib.evaluation.report import Options, Problem, Report, write_report

CODES = ("T2WI", "NP")
SCANNERS = (("A", "GE", 3.0), ("A", "GE", 1.5), ("B", "GE", 1.5), ("C", "Siemens", 3.0), ("C", "Philips", 3.0))
TISSUES = ("clear cell", "papillary", "oncocytoma")
SKILL = {"T2WI": 0.45, "NP": 0.62}


def example_report(patients: int = 80, seed: int = 0) -> Report:
    """Patients on five scanners in two sequences, with and without masses; a second set that is a little better."""
    rng = np.random.default_rng(seed)
    records, first, second = [], {}, {}
    for number in range(patients):
        person = _person(rng, number)
        size = float(person.clinical["size_mm"] or 0)
        for code in CODES:
            record = replace(person, image_id=f"{person.patient_id}_{code}", sequence=code)
            records.append(record)
            skill = SKILL[code] + 0.006 * (size - 25) - 0.12 * (record.vendor != "GE")
            first[record.image_id] = _outcome(rng, size, skill)
            second[record.image_id] = _outcome(rng, size, skill + 0.05)
    problem = Problem(
        kind="other_grid",
        image_id=records[0].image_id,
        seen="prediction: the label has shape (256, 256, 63); expected the image's (256, 256, 64)",
        expected="the image's grid, if turned",
        effect=LEFT_OUT,
    )
    first[records[0].image_id] = Outcome(scored=None, problems=(problem,))
    inputs = Inputs(
        records=records,
        files=(),
        labelled=len(records),
        first=_predictions(records, "1"),
        second=_predictions(records, "2"),
        problems=(),
    )
    options = Options(bootstrap_draws=500, factors=("vendor", "field_t", "histology", "age", "sex"))
    return make_report(inputs, first, second, options)


def _person(rng: Generator, number: int) -> CaseRecord:
    centre, vendor, field_t = SCANNERS[int(rng.integers(len(SCANNERS)))]
    having = rng.random() < 0.85
    clinical = {
        "size_mm": f"{rng.uniform(7, 44):.1f}" if having else "",
        "histology": str(rng.choice(TISSUES)) if having else "",
        "age": str(rng.integers(31, 88)),
        "sex": str(rng.choice(["F", "M"])),
    }
    name = f"P{number:04d}"
    return CaseRecord(
        image_id=name, patient_id=name, sequence="", centre=centre, vendor=vendor, field_t=field_t, clinical=clinical
    )


def _outcome(rng: Generator, size_mm: float, skill: float) -> Outcome:
    dice = float(np.clip(rng.normal(skill, 0.15), 0, 0.97)) if size_mm and rng.random() < 0.3 + skill else 0.0
    volume = np.pi / 6 * (size_mm / 10) ** 3
    found = bool(dice)
    masses = (ScoredReference(volume_ml=volume, diameter_mm=size_mm, dice=dice),) if size_mm else ()
    predicted = [
        _mass(volume * rng.uniform(0.5, 1.3), {"overlap": True, "iou": dice > 0.2, "centre": dice > 0.1})
    ] * found
    predicted += [_mass(rng.uniform(0.1, 3), dict.fromkeys(CRITERIA, False)) for _ in range(rng.poisson(0.4))]
    total = sum(one.volume_ml for one in predicted)
    regions = {
        "kidney_mass_cyst": _region(rng, 300 + volume, 300 * rng.uniform(0.9, 1.1), 0.9),
        "mass_cyst": _region(rng, volume + 4, total + 3, 0.5 * dice + 0.3),
        "mass": _region(rng, volume, total, dice),
    }
    return Outcome(
        scored=Scored(regions=regions, masses=masses, predicted=tuple(predicted)),
        problems=(),
        reference_sha256=rng.bytes(32).hex(),
        prediction_sha256=rng.bytes(32).hex(),
    )


def _mass(volume_ml: float, finds: dict[str, bool]) -> ScoredPrediction:
    return ScoredPrediction(
        volume_ml=volume_ml, centre_ras=(0.0, 0.0, 0.0), finds={name: (0,) * finds[name] for name in CRITERIA}
    )


def _region(rng: Generator, reference_ml: float, predicted_ml: float, dice: float) -> RegionScore:
    both = reference_ml > 0 and predicted_ml > 0
    return RegionScore(
        dice=dice if reference_ml or predicted_ml else None,
        surface_dice=float(np.clip(dice + rng.normal(0.05, 0.05), 0, 1)) if reference_ml or predicted_ml else None,
        hd95_mm=float(rng.gamma(2, 2 + 8 * (1 - dice))) if both else None,
        reference_ml=reference_ml,
        predicted_ml=predicted_ml,
        volume_error_ml=predicted_ml - reference_ml,
        volume_error_relative=(predicted_ml - reference_ml) / reference_ml if reference_ml else None,
    )


def _predictions(records: list[CaseRecord], release: str) -> Predictions:
    table = {
        one.image_id: {"sequence": {"code": one.sequence}, "model_version": f"{one.sequence}-{release}"}
        for one in records
    }
    return Predictions(files={one.image_id: Path(f"{one.image_id}.nii.gz") for one in records}, table=table)


if __name__ == "__main__":
    print(write_report(example_report(), Path(sys.argv[1])))  # noqa: T201
