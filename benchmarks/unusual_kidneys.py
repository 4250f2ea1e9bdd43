"""What is proposed where kidneys are not two in their usual places: none, one, one in the pelvis, a transplant.

    python -m benchmarks.unusual_kidneys --patients 8 --sequences T2WI NP --out unusual.json

The patients are phantoms of a seed of their own, imaged coronally so that the pelvis is seen too, each with both kidneys
in place and in every way of lib/phantom/unusual.py. Where there is no kidney, whatever is proposed is wrong.
A kidney counts as outlined when at least half of its voxels, masses and cysts on it included, are proposed as any structure.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from lib.configs.settings import Settings
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import BACKGROUND
from lib.imaging.lesions import voxel_ml
from lib.imaging.metrics import score_case
from lib.imaging.overlay import save_overlay
from lib.imaging.volume import Volume, write_bytes
from lib.infers.propose import Proposer
from lib.phantom.acquisition import acquire, plan_image
from lib.phantom.anatomy import Anatomy
from lib.phantom.cohort import Patient, make_patient
from lib.phantom.contrast import CONTRAST
from lib.phantom.raster import fine_grid, rasterise
from lib.phantom.unusual import UNUSUAL

SEED = 900_003
OUTLINED = 0.5
KINDS: dict[str, Callable[[Anatomy], Anatomy]] = {"both": lambda anatomy: anatomy, **UNUSUAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One image; masses are None where there is none."""

    kidneys: int
    boxes: int
    everywhere: bool
    outlined: int
    proposed_ml: float
    mass_found: bool | None
    false_masses: int


def take(patient: Patient, anatomy: Anatomy, code: str) -> tuple[Volume, Volume]:
    """One coronal image with its label."""
    wide = patient.anatomy if not anatomy.kidneys else anatomy  # the field of view is laid around kidneys
    plan = plan_image(
        np.random.default_rng([SEED, anatomy.noise_seed]), sequence=code, scanner=patient.scanner, anatomy=wide
    )
    layers = rasterise(anatomy, fine_grid(anatomy, plan.view))
    return acquire(layers, plan, sequence=code, relaxation=patient.relaxation)


def look(proposer: Proposer, patient: Patient, kind: str, code: str, pictures: Path | None) -> Row:
    """Propose for one image, and score it; an overlay goes into the folder of pictures, when there is one."""
    anatomy = KINDS[kind](patient.anatomy)
    image, reference = take(patient, anatomy, code)
    proposal = proposer.propose(image, requested=code)
    label, truth = (np.asarray(volume.data, np.uint8) for volume in (proposal.label, reference))
    if pictures:
        save_overlay(image, proposal.label, pictures / f"{kind}_{code}.png", f"{kind} {code}")
    score = score_case(patient.patient_id, label, truth)
    nearest = _nearest(reference, anatomy) if anatomy.kidneys else np.zeros(0, int)
    hit = (label != BACKGROUND)[truth != BACKGROUND]
    shares = [float(hit[nearest == index].mean()) for index in range(len(anatomy.kidneys)) if (nearest == index).any()]
    return Row(
        kidneys=len(shares),
        boxes=proposal.kidneys,
        everywhere=proposal.everywhere,
        outlined=sum(share >= OUTLINED for share in shares),
        proposed_ml=int((label != BACKGROUND).sum()) * voxel_ml(image.affine[:3, :3]),
        mass_found=score.found,
        false_masses=score.false_positives,
    )


def _nearest(reference: Volume, anatomy: Anatomy) -> np.ndarray:
    """Which kidney each labelled voxel is nearest to."""
    voxels = np.argwhere(np.asarray(reference.data) != BACKGROUND)
    points = voxels @ reference.affine[:3, :3].T + reference.affine[:3, 3]
    away = [np.linalg.norm((points - k.centre_ras) / max(k.radii_mm), axis=1) for k in anatomy.kidneys]
    return np.asarray(np.argmin(away, axis=0))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--patients", type=int, default=8)
    options.add_argument("--sequences", nargs="+", default=list(SEQUENCES), choices=list(SEQUENCES))
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--pictures", type=Path, help="folder for an overlay of each kind and sequence")
    given = options.parse_args()
    proposer = Proposer(Settings.from_conf({}).models())
    for code in given.sequences:
        CONTRAST[code] = replace(CONTRAST[code], coronal=1.0, other=None)
    numbers = (number for number in range(1000) if _is_ordinary(make_patient(SEED, number).anatomy))
    patients = [make_patient(SEED, next(numbers)) for _ in range(given.patients)]
    found: dict[str, dict[str, dict[str, float | int]]] = {}
    for code in given.sequences:
        for kind in KINDS:
            rows = [
                look(proposer, patient, kind, code, given.pictures if patient is patients[0] else None)
                for patient in patients
            ]
            found.setdefault(code, {})[kind] = figures(rows)
            print(line(code, kind, rows), flush=True)
    write_bytes(json.dumps(found, indent=1).encode(), given.out)


def _is_ordinary(anatomy: Anatomy) -> bool:
    return [kidney.state for kidney in anatomy.kidneys] == ["normal", "normal"]


def figures(rows: Sequence[Row]) -> dict[str, float | int]:
    """Of one sequence and kind."""
    masses = [row.mass_found for row in rows if row.mass_found is not None]
    return {
        "images": len(rows),
        "everywhere": sum(row.everywhere for row in rows),
        "boxes": fmean(row.boxes for row in rows),
        "kidneys": sum(row.kidneys for row in rows),
        "outlined": sum(row.outlined for row in rows),
        "proposed_ml": fmean(row.proposed_ml for row in rows),
        "with_mass": len(masses),
        "mass_found": sum(masses),
        "false_masses": fmean(row.false_masses for row in rows),
    }


def line(code: str, kind: str, rows: Sequence[Row]) -> str:
    """A row of the table."""
    row = figures(rows)
    return (
        f"| {code} | {kind} | {row['boxes']:.1f} | {row['everywhere']} of {row['images']} | {row['outlined']} of "
        f"{row['kidneys']} | {row['proposed_ml']:.0f} | {row['mass_found']} of {row['with_mass']} | {row['false_masses']:.1f} |"
    )


if __name__ == "__main__":
    main()
