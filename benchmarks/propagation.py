r"""Labels propagated to the patient's other sequences, against the truth, and what is left for the reader to correct.

    python main.py phantom cohort --patients 30 --seed 900001
    python main.py predict cohort --out proposals
    python -m benchmarks.propagation cohort --proposals proposals --json rows.json
    python -m benchmarks.propagation --summary rows.json
    python -m benchmarks.propagation --calibrate other_rows.json       # weights of lib/loop/expected_dice.py

Every patient with a mass is labelled on one sequence, in turn, and the label goes to the other four. Every second
target is taken as it was made: its organs have moved together, by 6 mm up or down (standard deviation) against the
source. In the others each kidney has moved by itself on top of that: by up to 10 mm in any direction, turned by up to
5 degrees, with the trunk at rest. Displaced targets get the network's proposal displaced with them.
``--strangers`` adds the same sequence of the next patient as a target: what propagation must refuse.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import ndimage, optimize, stats
from scipy.spatial.transform import Rotation

from lib.domain.cohort import read_cohort
from lib.domain.errors import RegistrationError
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import KIDNEY, MASS
from lib.imaging.metrics import dice
from lib.imaging.shapes import box_around, label_of
from lib.imaging.volume import Volume, read_label, read_volume
from lib.loop.expected_dice import Evidence, expected_dice
from lib.loop.propagate import Carried, Propagation, carry_label, fuse, judge, regions_of

MOVE_MM, TURN_DEG = 10.0, 5.0
_FALL_MM = 20.0  # over which a displacement fades around a kidney
CODES = tuple(SEQUENCES)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", type=Path, nargs="?")
    options.add_argument("--proposals", type=Path, help="folder that predict wrote for the cohort")
    options.add_argument("--patients", nargs="+", help="only these")
    options.add_argument("--shares", type=float, nargs="+", help="try these weights of the network's surface too")
    options.add_argument("--strangers", action="store_true")
    options.add_argument("--json", type=Path, help="write every row here, after each")
    options.add_argument("--summary", type=Path, nargs="+", help="print the figures of rows that were written")
    options.add_argument("--calibrate", type=Path, nargs="+", help="fit the expected Dice to rows that were written")
    given = options.parse_args()
    if given.calibrate:
        calibrate(read_rows(given.calibrate))
        return
    rows = read_rows(given.summary) if given.summary else []
    if given.cohort:
        for row in measure(given):
            rows.append(row)
            if given.json:
                given.json.write_text(json.dumps(rows))
    print(summary(rows))


def read_rows(paths: Sequence[Path]) -> list[dict[str, Any]]:
    return [row for path in paths for row in json.loads(path.read_text())]


def measure(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    records = read_cohort(given.cohort)
    with_mass = list(dict.fromkeys(row.patient_id for row in records if int(row.clinical["mass_count"])))
    for number, patient in enumerate(with_mass):
        source = CODES[number % len(CODES)]
        if given.patients and patient not in given.patients:
            continue
        image, label = _read(given.cohort, f"{patient}_{source}")
        targets = [f"{patient}_{code}" for code in CODES if code != source]
        if given.strangers:
            targets.append(f"{with_mass[(number + 1) % len(with_mass)]}_{source}")
        for place, target in enumerate(targets):
            rng = np.random.default_rng([number, place])
            moved = (number + place) % 2 == 1
            row = {"source": f"{patient}_{source}", "target": target, "moved": moved}
            row["stranger"] = not target.startswith(patient)
            yield row | _pair(image, label, *_target(given, target, moved, rng), given.shares or ())


def _read(cohort: Path, image_id: str) -> tuple[Volume, Volume]:
    return read_volume(cohort / f"{image_id}.nii.gz"), read_label(cohort / "labels" / "final" / f"{image_id}.nii.gz")


def _target(
    given: argparse.Namespace, image_id: str, moved: bool, rng: Generator
) -> tuple[Volume, Volume, Volume | None, float]:
    """Image, truth, the network's proposal, and the length of the largest displacement of a kidney's middle."""
    image, truth = _read(given.cohort, image_id)
    path = given.proposals / f"{image_id}.nii.gz" if given.proposals else None
    proposal = read_label(path) if path and path.is_file() else None
    if not moved:
        return image, truth, proposal, 0.0
    everything = [image, truth, *([proposal] if proposal else [])]
    (image, truth, *rest), length = displaced(everything, truth, rng)
    return image, truth, rest[0] if rest else None, length


def displaced(volumes: Sequence[Volume], truth: Volume, rng: Generator) -> tuple[list[Volume], float]:
    """Move each kidney by itself, rigidly; the motion fades out over 20 mm around where it may come to lie."""
    data = [volume.data.copy() for volume in volumes]
    lengths = []
    for region in regions_of(truth):
        box = box_around(region, truth.spacing_mm, MOVE_MM + _FALL_MM + 5)
        away_mm = ndimage.distance_transform_edt(~region[box], sampling=truth.spacing_mm)
        weight = np.clip(1 - (away_mm - MOVE_MM) / _FALL_MM, 0, 1)
        voxels = np.indices(weight.shape).reshape(3, -1)
        linear = truth.affine[:3, :3]
        ras = linear @ voxels
        middle = ras[:, region[box].ravel()].mean(1, keepdims=True)
        shift = _in_ball(rng, MOVE_MM)
        turn = Rotation.from_rotvec(_in_ball(rng, np.radians(TURN_DEG))).as_matrix()
        back = turn.T @ (ras - middle - shift[:, None]) + middle  # where each voxel came from
        came = np.linalg.inv(linear) @ (ras + weight.ravel() * (back - ras))
        for array, volume in zip(data, volumes, strict=True):
            order = 0 if volume.data.dtype == np.uint8 else 1
            part = ndimage.map_coordinates(volume.data[box], came, order=order, mode="nearest")
            array[box] = np.where(weight > 0, part.reshape(weight.shape), array[box])
        lengths.append(float(np.linalg.norm(shift)))
    return [Volume(data=array, affine=volume.affine) for array, volume in zip(data, volumes, strict=True)], max(lengths)


def _in_ball(rng: Generator, radius: float) -> np.ndarray:
    direction = rng.normal(size=3)
    return np.asarray(radius * rng.random() ** (1 / 3) * direction / np.linalg.norm(direction))


def _pair(
    image: Volume,
    label: Volume,
    target: Volume,
    truth: Volume,
    proposal: Volume | None,
    moved_mm: float,
    shares: Sequence[float],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "moved_mm": moved_mm,
        "mass_mm3": float((truth.data == MASS).sum() * np.prod(truth.spacing_mm)),
    }
    started, cpu = time.perf_counter(), time.process_time()
    try:
        carried = carry_label(label, image, target)
    except RegistrationError as error:
        return row | {"refused": str(error)}
    row["seconds"], row["cpu_s"] = time.perf_counter() - started, time.process_time() - cpu
    row["carried"] = _scores(_whole(carried, carried.distances_mm), truth)
    row["evidence"] = _evidence(judge(carried, None))
    row["shifts_mm"] = [list(found.shift_mm) for found in carried.alignments]
    if proposal is not None:
        started, cpu = time.perf_counter(), time.process_time()
        judged = judge(carried, proposal)
        row["seconds"] += time.perf_counter() - started
        row["cpu_s"] += time.process_time() - cpu
        row["network"] = _scores(proposal.data, truth)
        row["evidence"] = _evidence(judged)
        network = Volume(data=proposal.data[carried.box], affine=proposal.affine)
        row["fused"] = _scores(_whole(carried, fuse(carried.distances_mm, network)), truth)
        for share in shares:
            trial = fuse(carried.distances_mm, network, share=share)
            row[f"fused {share:g}"] = _scores(_whole(carried, trial), truth)
    return row


def _evidence(found: Propagation) -> dict[str, Any]:
    assert found.evidence is not None
    return asdict(found.evidence)


def _whole(carried: Carried, distances: np.ndarray) -> np.ndarray:
    whole = np.zeros(carried.target.shape, np.uint8)
    whole[carried.box] = label_of(distances)
    return whole


def _scores(found: np.ndarray, truth: Volume) -> dict[str, float | None]:
    """Dice, and voxels whose value the reader has to change: of the mass alone, and of everything."""
    return {
        "mass": dice(found == MASS, truth.data == MASS),
        "kidney": dice(found == KIDNEY, truth.data == KIDNEY),
        "mass_voxels": int(np.count_nonzero((found == MASS) != (truth.data == MASS))),
        "voxels": int(np.count_nonzero(found != truth.data)),
    }


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: what each way gives, per kind of target."""
    kinds = {
        "as made": [row for row in rows if not row["stranger"] and not row["moved"]],
        "each kidney moved": [row for row in rows if not row["stranger"] and row["moved"]],
        "all": [row for row in rows if not row["stranger"]],
        "all with a proposal": [row for row in rows if not row["stranger"] and "network" in row],
        "another patient": [row for row in rows if row["stranger"]],
    }
    lines = [
        "| targets | label | pairs | mass DSC: median (10th percentile) | kidney DSC: median | mass voxels to correct: median | voxels to correct: median |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, chosen in kinds.items():
        for way in dict.fromkeys(
            way for row in chosen for way in row if isinstance(row[way], dict) and "mass" in row[way]
        ):
            scored = [row[way] for row in chosen if way in row]
            lines.append(f"| {kind} | {way} | {len(scored)} | " + " | ".join(_figures(scored)) + " |")
    for who, stranger in (("targets", False), ("targets of another patient", True)):
        asked = [row for row in rows if row["stranger"] == stranger]
        lines.append(f"\n{sum('refused' in row for row in asked)} of {len(asked)} {who} could not be aligned")
    took = [(row["seconds"], row["cpu_s"]) for row in rows if "seconds" in row]
    seconds, cpu = zip(*took, strict=True)
    lines.append(
        f"\nseconds a sequence: median {median(seconds):.1f}, of one core {median(cpu):.1f} (worst {max(cpu):.1f})"
    )
    lines += _judged([row for row in rows if "evidence" in row])
    return "\n".join(lines)


def _figures(scored: Sequence[dict[str, Any]]) -> list[str]:
    masses = [row["mass"] for row in scored if row["mass"] is not None]
    low = np.percentile(masses, 10) if masses else 0.0
    return [
        f"{median(masses):.3f} ({low:.3f})" if masses else "-",
        f"{median(row['kidney'] or 0 for row in scored):.3f}",
        f"{median(row['mass_voxels'] for row in scored):.0f}",
        f"{median(row['voxels'] for row in scored):.0f}",
    ]


def _judged(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How the expected Dice compares with the true one."""
    pairs = [(expected_dice(Evidence(**row["evidence"])), row["carried"]["mass"], row["stranger"]) for row in rows]
    own = [(guess, true) for guess, true, stranger in pairs if not stranger and true is not None]
    if not own:
        return []
    guesses, true = np.array(own).T
    rank = stats.spearmanr(guesses, true).statistic
    lines = [
        f"expected against true mass DSC: mean error {np.abs(guesses - true).mean():.3f}, rank correlation {rank:.2f}"
    ]
    for limit in (0.5, 0.7):
        bad = [guess for guess, true, _ in pairs if (true or 0) < limit]
        refused = sum(guess < limit for guess in bad)
        good = sum(guess < limit for guess, true, _ in pairs if (true or 0) >= limit)
        lines.append(
            f"  below {limit:g}: {len(bad)} in truth, {refused} of them expected so; {good} others expected so"
        )
    return lines


def calibrate(rows: Sequence[dict[str, Any]]) -> None:
    """Print the weights, and the error on patients that were left out of the fit."""
    chosen = [row for row in rows if "evidence" in row]
    features = np.array([Evidence(**row["evidence"]).features() for row in chosen])
    patients = np.array([row["source"].split("_")[0] for row in chosen])
    for of_mass, structure in ((True, "mass"), (False, "kidney")):
        true = np.array([row["carried"][structure] or 0.0 for row in chosen])
        guessed = np.empty(len(true))
        for patient in set(patients):
            others = patients != patient
            guessed[~others] = _curve(_fit(features[others], true[others]), features[~others])
        weights = ", ".join(f"{value:.2f}" for value in _fit(features, true))
        error = np.abs(guessed - true).mean()
        print(
            f"{of_mass}: ({weights}),  # {len(true)} pairs of {len(set(patients))} patients, error left out {error:.3f}"
        )


def _fit(features: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Weights whose signs are those that make sense: information helps, errors and coarse voxels do not."""

    def residuals(weights: np.ndarray) -> np.ndarray:
        return np.concatenate([_curve(weights, features) - true, 0.02 * weights[1:]])  # a little towards zero

    bounds = ([-np.inf, 0, -np.inf, -np.inf], [np.inf, np.inf, 0, 0])
    return np.asarray(optimize.least_squares(residuals, [0, 0.1, -0.1, -0.1], bounds=bounds).x)


def _curve(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-features @ weights)))


if __name__ == "__main__":
    main()
