"""How many corrupted labels are noticed, and how many untouched ones are suspected.

    python main.py predict COHORT --out A         # once with one model,
    python main.py predict COHORT --out B         # once with another: RENAL_LOOP_LIVE names its folder
    python -m benchmarks.label_quality --cohort COHORT --proposals A --predictions B

Without folders of predictions both are made up from the label itself: borders that waver by about 2 mm, every seventh
mass missed, and a false mass on half of the kidneys. Both ways, the reference is a phantom's and hence right until it
is corrupted here.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from lib.domain.cohort import read_cohort
from lib.domain.structures import BACKGROUND, KIDNEY, MASS
from lib.imaging.volume import read_label
from lib.loop.label_quality import LabelToCheck, suspicions
from lib.phantom.cohort import Size, make_case

MEDIUM_SIZE = Size(matrix=(128, 112, 32), fine_mm=(3.0, 3.0, 4.0))
BORDER_MM = 2.0
MISSED = 1 / 7
FALSE_MASS = 0.5
Labels = NDArray[np.uint8]


def made_up_prediction(label: Labels, spacing_mm: tuple[float, float, float], rng: Generator) -> Labels:
    """What a network of middling quality might propose for a label."""
    predicted = np.zeros_like(label)
    for value in (KIDNEY, MASS):
        mask = label == value
        if not mask.any() or (value == MASS and rng.random() < MISSED):
            continue
        inside = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
        outside = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
        noise = ndimage.gaussian_filter(rng.standard_normal(label.shape), 3)
        predicted[inside - outside + noise / noise.std() * BORDER_MM > 0] = value
    kidney = np.argwhere(predicted == KIDNEY)
    if len(kidney) and rng.random() < FALSE_MASS:
        predicted[_ball(label.shape, spacing_mm, kidney[rng.integers(len(kidney))], 8.0)] = MASS
    return predicted


def _ball(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], centre: NDArray[np.int_], radius_mm: float
) -> NDArray[np.bool_]:
    offsets = np.stack(list(np.indices(shape)), axis=-1) - centre
    return np.asarray(((offsets * spacing_mm) ** 2).sum(-1) <= radius_mm**2)


def shifted(by_mm: float) -> Callable[[LabelToCheck], Labels]:
    """Move a label along the first axis."""

    def corrupt(case: LabelToCheck) -> Labels:
        steps = round(by_mm / case.spacing_mm[0])
        moved = np.zeros_like(case.label)
        moved[steps:] = case.label[:-steps]
        return moved

    return corrupt


def swapped(case: LabelToCheck) -> Labels:
    """Call the kidney mass, and the mass kidney."""
    table = np.arange(256, dtype=np.uint8)
    table[[KIDNEY, MASS]] = MASS, KIDNEY
    return np.asarray(table[case.label])


def emptied(case: LabelToCheck) -> Labels:
    """Forget the mass."""
    return np.where(case.label == MASS, KIDNEY, case.label).astype(np.uint8)


def spilled(case: LabelToCheck) -> Labels:
    """Draw a ball of 12 mm in a corner of the image."""
    label = case.label.copy()
    label[_ball(label.shape, case.spacing_mm, np.array([6, 6, label.shape[2] // 2]), 12.0)] = MASS
    return label


def off_kidney(case: LabelToCheck) -> Labels:
    """Draw a ball of 8 mm halfway between the kidneys, in front."""
    label = case.label.copy()
    kidneys = np.argwhere(label == KIDNEY)
    centre = (kidneys.min(0) + kidneys.max(0)) // 2
    centre[1] = min(label.shape[1] - 1, centre[1] + round(50 / case.spacing_mm[1]))
    label[_ball(label.shape, case.spacing_mm, centre, 8.0)] = MASS
    return label


def elsewhere(case: LabelToCheck) -> Labels:
    """Draw the mass at the mirrored place only."""
    label = np.where(case.label == MASS, BACKGROUND, case.label).astype(np.uint8)
    label[(case.label == MASS)[::-1]] = MASS
    return label


def turned_round(case: LabelToCheck) -> Labels:
    """The label of a grid whose third axis runs the other way."""
    return np.ascontiguousarray(case.label[:, ::-1, ::-1])


CORRUPTIONS: dict[str, Callable[[LabelToCheck], Labels]] = {
    "untouched": lambda case: case.label,
    "shifted by 5 mm": shifted(5),
    "shifted by 10 mm": shifted(10),
    "shifted by 20 mm": shifted(20),
    "swapped": swapped,
    "emptied": emptied,
    "spilled": spilled,
    "off the kidney": off_kidney,
    "mass on the other side": elsewhere,
    "turned round": turned_round,
}


def phantom_cases(patients: int, seed: int = 5) -> Iterator[LabelToCheck]:
    """Labels with two made-up predictions each; only patients with a mass."""
    rng = np.random.default_rng(seed)
    number = found = 0
    while found < patients:
        case = make_case(seed, number, "NP", size=MEDIUM_SIZE)
        number += 1
        label = np.asarray(case.label.data, dtype=np.uint8)
        if not (label == MASS).any():
            continue
        found += 1
        spacing_mm = case.label.spacing_mm
        yield LabelToCheck(
            image_id=case.record.image_id,
            label=label,
            proposal=made_up_prediction(label, spacing_mm, rng),
            prediction=made_up_prediction(label, spacing_mm, rng),
            spacing_mm=spacing_mm,
        )


def predicted_cases(cohort: Path, proposals: Path, predictions: Path) -> Iterator[LabelToCheck]:
    """Labels of a cohort with the predictions of two models, as ``predict`` writes them."""
    for record in read_cohort(cohort):
        name = f"{record.image_id}.nii.gz"
        if not (proposals / name).is_file() or not (predictions / name).is_file():
            continue
        label, proposal, prediction = (
            read_label(folder / name) for folder in (cohort / "labels" / "final", proposals, predictions)
        )
        yield LabelToCheck(
            image_id=record.image_id,
            label=np.asarray(label.data, dtype=np.uint8),
            proposal=np.asarray(proposal.data, dtype=np.uint8),
            prediction=np.asarray(prediction.data, dtype=np.uint8),
            spacing_mm=label.spacing_mm,
        )


def noticed(cases: Iterable[LabelToCheck], names: Iterable[str] = CORRUPTIONS) -> dict[str, list[tuple[str, ...]]]:
    """Kinds of suspicion for each case under each corruption; a corruption that needs a mass skips cases without."""
    found: dict[str, list[tuple[str, ...]]] = {name: [] for name in names}
    for case in cases:
        for name in found:
            if name == "untouched" or (case.label == MASS).any():
                corrupted = replace(case, label=CORRUPTIONS[name](case))
                found[name].append(tuple(one.kind for one in suspicions(corrupted)))
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--patients", type=int, default=30, help="phantoms with made-up predictions")
    options.add_argument("--cohort", type=Path)
    options.add_argument("--proposals", type=Path)
    options.add_argument("--predictions", type=Path)
    given = options.parse_args()
    real = given.cohort and given.proposals and given.predictions
    cases = predicted_cases(given.cohort, given.proposals, given.predictions) if real else phantom_cases(given.patients)
    print("| label | cases | suspected | as |\n|---|---|---|---|")
    for name, kinds in noticed(cases).items():
        total = Counter(kind for found in kinds for kind in found)
        named = ", ".join(f"{kind} {count}" for kind, count in total.most_common())
        print(f"| {name} | {len(kinds)} | {sum(map(bool, kinds))} | {named} |")


if __name__ == "__main__":
    main()
