r"""Which order of work teaches most: simulated learning from cold start, every strategy against random.

    python -m benchmarks.simulate_learning COHORTS --seeds 901 902 903 904 --json rows.json     # makes the cohorts first
    python -m benchmarks.simulate_learning --summary rows.json --plot curves.png

Every seed is a cohort of its own: coarse phantoms (every vendor, as they come; two sequences), split into a pool and test
patients. A strategy picks patients in batches, as the server does with ``ORDERS``, until the pool is labelled; the simulated
reader labels both sequences of each from the current proposal (benchmarks/simulated_reader.py counts the minutes); the
learner is trained anew. The first batch is drawn at random, the same for every strategy: nobody has seen a proposal yet. All
of that is done ``DRAWS`` times a seed.

The learner is a stand-in: a forest of extremely randomised trees per sequence, over smoothed intensities inside the
kidney boxes, instead of a network per sequence. It learns in two seconds what takes a network a quarter of an hour,
and its probabilities go through the same ``lib.scoring`` and ``lib.activelearning`` as the networks'. What it cannot
show is whether a network would profit in the same way.

``foreground`` is random too, but takes two of three patients from those with a mass (known from the truth: an oracle that no
clinic has).
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.ensemble import ExtraTreesClassifier

from benchmarks.learning_report import plot, summary
from benchmarks.simulated_reader import minutes
from lib.activelearning.orders import ORDERS
from lib.domain.cohort import read_cohort
from lib.domain.records import Candidate, CaseRecord
from lib.domain.structures import MASS, STRUCTURE_NAMES
from lib.imaging.metrics import dice
from lib.imaging.shapes import Box, box_around
from lib.imaging.volume import Volume, read_label, read_volume
from lib.loop.propagate import regions_of
from lib.phantom.cohort import Size, generate_cohort
from lib.scoring.disagreement import disagreement
from lib.scoring.uncertainty import uncertainty

CODES = ("NP", "DP")
SIZE = Size(matrix=(80, 72, 24), fine_mm=(4.0, 4.0, 5.0))
PATIENTS = 36
POOL, BATCH, DRAWS = 24, 3, 2
RANDOM, FOREGROUND = "random", "foreground"
STRATEGIES = (*ORDERS, FOREGROUND)
LOOKING = ("hybrid", "uncertainty", "disagreement")  # strategies that look at proposals
MARGIN_MM = 15.0  # of the kidney boxes
SIGMAS = (0.7, 1.5, 3.0)
BRIGHT = 92.0  # percentile of a box's intensities that stands for the kidney
TREES, LEAF = 12, 4
MASS_VOXELS, OTHER_VOXELS = 600, 100  # of an image and class, at most, that the learner sees


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """One image, ready for the learner: what it sees of every kidney box is computed once."""

    record: CaseRecord
    image: Volume
    truth: Volume
    boxes: Sequence[Box]
    seen: Sequence[NDArray[np.float32]]  # per box, (voxels, features)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Guess:
    """What the learner says of one image."""

    label: Volume
    doubt: dict[str, float]


Patients = dict[str, list[Image]]
Learner = dict[str, ExtraTreesClassifier]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohorts", type=Path, nargs="?", help="folder with one cohort a seed; made where it has none")
    options.add_argument("--seeds", type=int, nargs="+", default=[])
    options.add_argument("--strategies", nargs="+", default=STRATEGIES, choices=STRATEGIES, help="only these")
    options.add_argument("--json", type=Path, help="write every row here, after each round")
    options.add_argument("--summary", type=Path, nargs="+", help="print the figures of rows that were written")
    options.add_argument("--plot", type=Path, help="with --summary: draw the curves")
    given = options.parse_args()
    if given.summary:
        rows = [row for path in given.summary for row in json.loads(path.read_text())]
        print(summary(rows))
        if given.plot:
            plot(rows, given.plot)
        return
    rows = []
    for seed in given.seeds:
        for row in simulate(seed, cohort(given.cohorts / str(seed), seed), given.strategies):
            rows.append(row)
            if given.json:
                given.json.write_text(json.dumps(rows))
    print(summary(rows))


def simulate(seed: int, everyone: Patients, strategies: Sequence[str] = STRATEGIES) -> Iterator[dict[str, Any]]:
    """The strategies on one split, then all of the pool, drawn from scratch."""
    mixed = random.Random(seed).sample(sorted(everyone), len(everyone))
    pool = {one: everyone[one] for one in mixed[:POOL]}
    test = {one: everyone[one] for one in mixed[POOL:] if (everyone[one][0].truth.data == MASS).any()}
    for name, draw in itertools.product(strategies, range(DRAWS)):
        labelled: list[str] = []
        spent, started = 0.0, time.process_time()
        learner: Learner = {}
        while len(labelled) < len(pool):
            left = {one: images for one, images in pool.items() if one not in labelled}
            guesses = guess_all(learner, left) if learner and name in LOOKING else {}
            rng = random.Random(f"{seed} {draw} {len(labelled)}")
            chosen = pick(name if labelled else RANDOM, pool, labelled, guesses, rng)
            spent += sum(_cost(learner, image) for one in chosen for image in pool[one])
            labelled += chosen
            learner = train([pool[one] for one in labelled], seed)
            row = {"seed": seed, "strategy": name, "draw": draw, "patients": len(labelled), "minutes": spent}
            yield row | {"cpu_s": time.process_time() - started, "scores": scores(learner, test)}
    everything = train(list(pool.values()), seed)
    drawn = sum(_cost({}, image) for images in pool.values() for image in images)
    row = {"seed": seed, "strategy": "all", "draw": 0, "patients": len(pool), "minutes": drawn}
    yield row | {"scores": scores(everything, test)}


def cohort(folder: Path, seed: int) -> Patients:
    """Patients with both sequences."""
    if not folder.exists():
        generate_cohort(folder, patients=PATIENTS, seed=seed, sequences=CODES, size=SIZE)
    found: Patients = {}
    for record in read_cohort(folder):
        image = read_volume(folder / f"{record.image_id}.nii.gz")
        truth = read_label(folder / "labels" / "final" / f"{record.image_id}.nii.gz")
        found.setdefault(record.patient_id, []).append(ready(record, image, truth))
    return found


def ready(record: CaseRecord, image: Volume, truth: Volume) -> Image:
    boxes = [box_around(region, truth.spacing_mm, MARGIN_MM) for region in regions_of(truth)]
    seen = [_features(np.asarray(image.data[box], np.float32)) for box in boxes]
    return Image(record=record, image=image, truth=truth, boxes=boxes, seen=seen)


def _features(data: NDArray[np.floating]) -> NDArray[np.float32]:
    """Intensity as a share of the box's bright parts (the kidney), smoothed on some scales, with gradients, blobs and
    the darkest and brightest of the neighbourhood: (voxels, features).
    """
    values = (data / np.percentile(data, BRIGHT)).astype(np.float32)
    maps = [values]
    for sigma in SIGMAS:
        maps += [
            ndimage.gaussian_filter(values, sigma),
            ndimage.gaussian_gradient_magnitude(values, sigma),
            ndimage.gaussian_laplace(values, sigma),
        ]
    maps += [ndimage.minimum_filter(values, 5), ndimage.maximum_filter(values, 5), ndimage.median_filter(values, 3)]
    return np.stack(maps).reshape(len(maps), -1).T


def train(patients: Sequence[Sequence[Image]], seed: int) -> Learner:
    """A forest per sequence, on some voxels of every structure."""
    learner: Learner = {}
    for code in CODES:
        images = [image for one in patients for image in one if image.record.sequence == code]
        rng = np.random.default_rng(seed)
        parts = [_some(image, place, rng) for image in images for place in range(len(image.boxes))]
        forest = ExtraTreesClassifier(TREES, min_samples_leaf=LEAF, random_state=seed, n_jobs=1)
        learner[code] = forest.fit(np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts]))
    return learner


def _some(image: Image, place: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    values = image.truth.data[image.boxes[place]].ravel()
    kept = []
    for value in np.unique(values):
        voxels = np.flatnonzero(values == value)
        most = MASS_VOXELS if value == MASS else OTHER_VOXELS
        kept.append(rng.choice(voxels, min(len(voxels), most), replace=False))
    chosen = np.concatenate(kept)
    return image.seen[place][chosen], values[chosen]


def guess(learner: Learner, image: Image) -> Guess:
    """Probabilities inside the kidney boxes, background elsewhere; the label, and the doubt as the app measures it."""
    forest, grid = learner[image.record.sequence], image.truth
    chances = np.zeros((1 + len(STRUCTURE_NAMES), *grid.shape), np.float32)
    chances[0] = 1
    for box, seen in zip(image.boxes, image.seen, strict=True):
        part = np.zeros((len(chances), len(seen)), np.float32)
        part[forest.classes_] = forest.predict_proba(seen).T
        shape = chances[(slice(None), *box)].shape
        chances[(slice(None), *box)] = ndimage.gaussian_filter(part.reshape(shape), (0, 0.7, 0.7, 0.7))
    label = Volume(data=chances.argmax(0).astype(np.uint8), affine=grid.affine)
    return Guess(label=label, doubt=uncertainty(chances, STRUCTURE_NAMES, grid.spacing_mm))


def guess_all(learner: Learner, patients: Patients) -> dict[str, Guess]:
    return {image.record.image_id: guess(learner, image) for one in patients.values() for image in one}


def _cost(learner: Learner, image: Image) -> float:
    """Minutes for one image: drawn from scratch at the cold start, else corrected from the learner's proposal."""
    proposal = np.asarray(guess(learner, image).label.data, np.uint8) if learner else None
    return minutes(np.asarray(image.truth.data, np.uint8), proposal)


def pick(
    name: str, pool: Patients, labelled: Sequence[str], guesses: dict[str, Guess], rng: random.Random
) -> list[str]:
    """The next batch of patients, in the order in which a strategy first names one of their images."""
    left = [patient for patient in pool if patient not in labelled]
    if name == FOREGROUND:
        return _foreground(pool, left, rng)
    apart: dict[str, dict[str, float]] = {}
    if guesses and name in ("disagreement", "hybrid"):
        for patient in left:
            names = [image.record.image_id for image in pool[patient]]
            apart |= disagreement({one: guesses[one].label for one in names})
    waiting = [_candidate(image, guesses, apart) for patient in left for image in pool[patient]]
    done = [_candidate(image, {}, {}) for patient in labelled for image in pool[patient]]
    queue = ORDERS[name].order(waiting, done, rng)
    return list(dict.fromkeys(case.patient_id for case in queue))[:BATCH]


def _candidate(image: Image, guesses: dict[str, Guess], apart: dict[str, dict[str, float]]) -> Candidate:
    record = image.record
    plain = Candidate(
        image_id=record.image_id,
        patient_id=record.patient_id,
        sequence=record.sequence,
        centre=record.centre,
        scanner=record.scanner_model,
    )
    found = guesses.get(record.image_id)
    return replace(plain, uncertainty=found.doubt, disagreement=apart.get(record.image_id, {})) if found else plain


def _foreground(pool: Patients, left: Sequence[str], rng: random.Random) -> list[str]:
    mixed = rng.sample(left, len(left))
    with_mass = [one for one in mixed if (pool[one][0].truth.data == MASS).any()]
    first = with_mass[: -(-2 * BATCH // 3)]
    return [*first, *(one for one in mixed if one not in first)][:BATCH]


def scores(learner: Learner, test: Patients) -> dict[str, dict[str, float]]:
    """Per test patient: mean mass DSC, and share of the images on which the mass is found."""
    found: dict[str, dict[str, float]] = {}
    for patient, images in test.items():
        masks = [(guess(learner, image).label.data == MASS, image.truth.data == MASS) for image in images]
        found[patient] = {
            "dice": float(np.mean([dice(mine, true) or 0.0 for mine, true in masks])),
            "found": float(np.mean([bool((mine & true).any()) for mine, true in masks])),
        }
    return found


if __name__ == "__main__":
    main()
