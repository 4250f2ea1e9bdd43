"""What the kidney finder's boxes hold, per sequence, on phantoms that it never learned from.

    python -m benchmarks.finder COHORT --side validation --patients 25
    python -m benchmarks.finder COHORT --side validation --patients 25 --weights other.safetensors

COHORT is a phantom cohort; ``--side`` says which of its patients are looked at ("any" for a cohort of another seed than
the one of the weights). Dice is that of kidneys, masses and cysts together, voxel by voxel on the finder's own grid. The
masses or kidneys of an image are held when 99 % of their voxels lie in a box, on the grid of the sequence's network.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np
from torch import Tensor

from benchmarks.trust import phantom_images
from lib.configs.settings import Settings
from lib.domain.records import LabelledImage
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import KIDNEY, MASS
from lib.imaging.geometry import to_canonical
from lib.imaging.metrics import dice
from lib.imaging.volume import Volume, read_label, read_volume
from lib.loop.retrain import images_on
from lib.nets.find import Finder
from lib.nets.grids import label_to_working, to_working
from lib.nets.networks import LoadedWeights, load_weights
from lib.nets.runtime import load_runner
from lib.nets.windows import class_probabilities
from lib.registry.models import FINDER

GOOD = 0.8  # Dice from which kidneys count as outlined
WHOLE = 0.99  # share held from which a structure counts as held


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found on one image; shares are 0 to 1, None where the label has no such voxel."""

    dice: float
    kidney: float | None
    mass: float | None
    boxes: int
    searched: float


class Outline:
    """The finder's network alone: how well what it sees fits kidneys, masses and cysts together, on its own grid."""

    def __init__(self, weights: LoadedWeights) -> None:
        self._plan, self._run = weights.plan, load_runner(weights, "cpu")

    def truth(self, label: Volume) -> Tensor:
        """What a canonical label says of each voxel of the whole grid, for every image that has this label."""
        return label_to_working(label, self._plan.spacing_mm, (1, 2, 3)) > 0

    def __call__(self, image: Volume, truth: Tensor) -> float:
        """Dice of one canonical image with its truth."""
        coarse = to_working(image, self._plan.spacing_mm)
        organs = class_probabilities(coarse.image, self._run, self._plan, mirrored=False)[0] < 0.5
        return dice(organs.numpy(), truth[coarse.box].numpy()) or 0.0


class Search:
    """A finder, and the network in it."""

    def __init__(self, path: Path) -> None:
        weights = load_weights(path)
        self._outline, self._find = Outline(weights), Finder(weights, "cpu")

    def __call__(self, case: LabelledImage, spacing_mm: tuple[float, float, float]) -> Found:
        """Look at one image; ``spacing_mm`` is what its sequence's network sees."""
        image, label = to_canonical(read_volume(case.image)), to_canonical(read_label(case.label))
        working = to_working(image, spacing_mm)
        wanted = label_to_working(label, spacing_mm, (1, 2, 3))[working.box].numpy()
        inside = np.zeros(wanted.shape, bool)
        boxes = self._find(working.image, spacing_mm)
        for box in boxes:
            inside[box] = True
        held = [float(inside[wanted == value].mean()) if (wanted == value).any() else None for value in (KIDNEY, MASS)]
        return Found(
            dice=self._outline(image, self._outline.truth(label)),
            kidney=held[0],
            mass=held[1],
            boxes=len(boxes),
            searched=float(inside.mean()),
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", type=Path)
    options.add_argument("--side", choices=["validation", "holdout", "any"], default="validation")
    options.add_argument("--sequences", nargs="+", default=list(SEQUENCES), choices=list(SEQUENCES))
    options.add_argument("--patients", type=int, default=25, help="at most, per sequence")
    options.add_argument("--weights", type=Path, help="of the finder; what serves when not given")
    given = options.parse_args()
    search = Search(given.weights or Settings.from_conf({}).models().champion(FINDER))
    found: dict[str, list[Found]] = {}
    for code in given.sequences:
        images = phantom_images(given.cohort, code)
        chosen = images if given.side == "any" else images_on(images, given.side)
        found[code] = [search(case, SEQUENCES[code].spacing_mm) for case in chosen[: given.patients]]
    print(table(found))


def table(found: Mapping[str, Sequence[Found]]) -> str:
    """Markdown, a row a sequence and one of all."""
    lines = [
        f"| sequence | images | median Dice | below {GOOD} | masses held | kidneys held | boxes | searched |",
        "|---|---|---|---|---|---|---|---|",
    ]
    everything = {**found, "all": [row for own in found.values() for row in own]}
    for code, rows in everything.items():
        masses = [row.mass for row in rows if row.mass is not None]
        kidneys = [row.kidney for row in rows if row.kidney is not None]
        lines.append(
            f"| {code} | {len(rows)} | {median(row.dice for row in rows):.2f} | {sum(row.dice < GOOD for row in rows)} | "
            f"{sum(share >= WHOLE for share in masses)} of {len(masses)} | "
            f"{sum(share >= WHOLE for share in kidneys)} of {len(kidneys)} | "
            f"{fmean(row.boxes for row in rows):.1f} | {fmean(row.searched for row in rows):.0%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
