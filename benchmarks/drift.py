"""Which scanners will fail: drift scores beside the finder's Dice, on phantoms as they are and damaged on purpose.

    python -m benchmarks.drift COHORT --patients 25 --out drift.json

COHORT is a phantom cohort whose patients are not in the shipped training distribution. Each image is also made noisy
(SD of a quarter of the body's signal), blurred (SD 4 mm), inverted, shaded (a factor of nine from side to side), and cut
by two fifths of its width. The finder's Dice is that of its kidneys, masses and cysts together, on its coarse grid.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.finder import Outline
from lib.cli.train import labelled_images
from lib.configs.onboarding import known_distributions
from lib.configs.settings import Settings
from lib.domain.sequences import SEQUENCES
from lib.imaging.geometry import to_canonical
from lib.imaging.volume import Volume, read_label, read_volume, write_bytes
from lib.nets.features import FeatureReader
from lib.nets.networks import load_weights
from lib.onboarding.readiness import nearest_drift
from lib.onboarding.verdict import FAR
from lib.registry.models import FINDER

Pixels = NDArray[np.float32]


def noisy(pixels: Pixels, _: tuple[float, ...], rng: Generator) -> Pixels:
    level = pixels[pixels > np.percentile(pixels, 60)].mean()
    return np.abs(pixels + rng.normal(0, 0.25 * level, pixels.shape)).astype(np.float32)


def blurred(pixels: Pixels, spacing_mm: tuple[float, ...], _: Generator) -> Pixels:
    return np.asarray(ndimage.gaussian_filter(pixels, [4 / edge for edge in spacing_mm]), np.float32)


def inverted(pixels: Pixels, _: tuple[float, ...], __: Generator) -> Pixels:
    bright = np.percentile(pixels, 99)
    return np.where(pixels > 0.12 * bright, np.clip(bright - pixels, 0, None) + 0.15 * bright, pixels)


def shaded(pixels: Pixels, _: tuple[float, ...], __: Generator) -> Pixels:
    across = np.indices(pixels.shape)[0] / pixels.shape[0] - 0.5
    return np.asarray(pixels * np.exp(2.2 * across), np.float32)


def cut(pixels: Pixels, _: tuple[float, ...], __: Generator) -> Pixels:
    left = pixels.copy()
    left[: 2 * len(left) // 5] = 0
    return left


Damage = Callable[[Pixels, tuple[float, ...], Generator], Pixels]
DAMAGES: dict[str, Damage] = {
    "as it is": lambda pixels, *_: pixels,
    "noisy": noisy,
    "blurred": blurred,
    "inverted": inverted,
    "shaded": shaded,
    "cut": cut,
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", type=Path)
    options.add_argument("--sequences", nargs="+", default=["T2WI", "NP"], choices=list(SEQUENCES))
    options.add_argument("--patients", type=int, default=25)
    options.add_argument("--out", type=Path, required=True)
    given = options.parse_args()
    models = Settings.from_conf({}).models()
    weights, known, rng = load_weights(models.champion(FINDER)), known_distributions(models, []), default_rng(0)
    read, outline = FeatureReader(weights), Outline(weights)
    rows = []
    for code in given.sequences:
        for case in labelled_images(given.cohort, code)[: given.patients]:
            image = read_volume(case.image)
            truth = outline.truth(to_canonical(read_label(case.label)))
            for name, damage in DAMAGES.items():
                pixels = damage(np.asarray(image.data, np.float32), image.spacing_mm, rng)
                seen = Volume(data=pixels.astype(np.float32), affine=image.affine)
                far, score = nearest_drift(code, read(seen), known), outline(to_canonical(seen), truth)
                rows.append({"sequence": code, "images": name, "drift": far, "dice": score})
    write_bytes(json.dumps(rows).encode(), given.out)
    print("| sequence | images | median drift | flagged | median Dice of the finder |\n|---|---|---|---|---|")
    for code in given.sequences:
        for name in DAMAGES:
            own = [row for row in rows if (row["sequence"], row["images"]) == (code, name)]
            drift = median(row["drift"] for row in own)
            flagged = "yes" if drift > FAR else "no"
            print(f"| {code} | {name} | {drift:.2f} | {flagged} | {median(row['dice'] for row in own):.2f} |")


if __name__ == "__main__":
    main()
