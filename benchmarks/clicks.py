"""What clicks gain: mass DSC of proposals before and after 1, 2 and 3 simulated clicks, and the time of an answer.

    python main.py predict COHORT --out PROPOSALS
    python -m benchmarks.clicks COHORT --proposals PROPOSALS --json clicks.json

The simulated reader clicks into the middle of the largest region where the mass is wrong (for the mass where it is
missing, against it where it is false), sends all clicks so far with the label that came with the last answer, and looks
again. DSC: of all mass voxels of an image; images without a mass are left out. Time: of the process, for one answer as
the server makes it, with the image at hand, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from lib.configs.settings import Settings
from lib.domain.clicks import Click
from lib.domain.cohort import read_cohort
from lib.domain.records import CaseRecord
from lib.domain.structures import MASS, STRUCTURES
from lib.imaging.metrics import dice
from lib.imaging.mistakes import mistakes
from lib.imaging.volume import Volume, read_label, read_volume
from lib.nets.networks import load_weights
from lib.nets.refine import ClickRefiner
from lib.registry.models import CLICKS

POOR = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One image: mass DSC before any click and after each, and process seconds of each answer."""

    image_id: str
    sequence: str
    dice: tuple[float, ...]
    seconds: tuple[float, ...]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", type=Path)
    options.add_argument("--proposals", type=Path, required=True, help="folder that the command predict wrote")
    options.add_argument("--weights", type=Path, help="of the click network; what serves when not given")
    options.add_argument("--clicks", type=int, default=3)
    options.add_argument("--poor", action="store_true", help="only proposals with a mass DSC below 0.6")
    options.add_argument("--json", type=Path, help="write every trial here")
    given = options.parse_args()
    refiner = ClickRefiner(load_weights(given.weights or Settings.from_conf({}).models().champion(CLICKS)), "cpu")
    trials = list(_trials(given.cohort, given.proposals, refiner, given.clicks, poor_only=given.poor))
    print(table(trials))
    if given.json:
        given.json.write_text(json.dumps([asdict(trial) for trial in trials], indent=1))


def _trials(cohort: Path, proposals: Path, refiner: ClickRefiner, clicks: int, *, poor_only: bool) -> Iterator[Trial]:
    for record in read_cohort(cohort):
        proposal = proposals / f"{record.image_id}.nii.gz"
        truth = read_label(cohort / "labels" / "final" / f"{record.image_id}.nii.gz")
        if not proposal.is_file() or not (truth.data == MASS).any():
            continue
        start = read_label(proposal).data.astype(np.uint8)
        if not poor_only or mass_dice(start, truth) < POOR:
            yield trial(record, read_volume(cohort / f"{record.image_id}.nii.gz"), start, truth, refiner, clicks)


def trial(
    record: CaseRecord, volume: Volume, label: NDArray[np.uint8], truth: Volume, refiner: ClickRefiner, clicks: int
) -> Trial:
    """Let the simulated reader click."""
    image, made = refiner.ready(volume), list[Click]()
    scores, seconds = [mass_dice(label, truth)], []
    for _ in range(clicks):
        made += next_click(label, truth)
        began = time.process_time()
        label = refiner(image, label, made)
        seconds.append(time.process_time() - began)
        scores.append(mass_dice(label, truth))
    return Trial(image_id=record.image_id, sequence=record.sequence, dice=tuple(scores), seconds=tuple(seconds))


def next_click(label: NDArray[np.uint8], truth: Volume, structures: Sequence[str] = ("mass",)) -> list[Click]:
    """Where a reader clicks: into the middle of the largest mistake; nowhere when all is right."""
    wrong = [
        (one.voxels, Click(structure=name, inside=one.missing, at=one.centre))
        for name in structures
        for one in mistakes(label == STRUCTURES[name].value, truth.data == STRUCTURES[name].value, truth.spacing_mm)
    ]
    return [max(wrong, key=lambda one: one[0])[1]] if wrong else []


def mass_dice(label: NDArray[np.uint8], truth: Volume) -> float:
    return dice(label == MASS, truth.data == MASS) or 0.0


def table(trials: Sequence[Trial]) -> str:
    """One row for each sequence and group of proposals."""
    after = range(1, len(trials[0].dice) if trials else 1)
    names = [
        "before", *(f"after {n}" for n in after), *(f"gain {n}" for n in after), "worse by > 0.02 after 1", "s an answer"
    ]  # fmt: skip
    lines = [f"| proposals | images | {' | '.join(names)} |", "|" + "---|" * (2 + len(names))]
    kinds: dict[str, Callable[[Trial], bool]] = {
        "DSC < 0.6": lambda trial: trial.dice[0] < POOR,
        "DSC ≥ 0.6": lambda trial: trial.dice[0] >= POOR,
    }
    groups = {
        f"{name}, {code}" if code else name: [trial for trial in trials if code in {"", trial.sequence} and fits(trial)]
        for name, fits in kinds.items()
        for code in ("", *dict.fromkeys(trial.sequence for trial in trials))
    }
    for name, members in groups.items():
        if members:
            scores = [median(trial.dice[n] for trial in members) for n in (0, *after)]
            gains = [median(trial.dice[n] - trial.dice[0] for trial in members) for n in after]
            worse = sum(trial.dice[1] < trial.dice[0] - 0.02 for trial in members)
            took = median(second for trial in members for second in trial.seconds)
            cells = [
                *(f"{score:.2f}" for score in scores),
                *(f"{gain:+.2f}" for gain in gains),
                str(worse),
                f"{took:.2f}",
            ]
            lines.append(f"| {name} | {len(members)} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
