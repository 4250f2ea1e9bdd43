"""What randomised images buy on vendors that were left out of training: the same network and steps, with and without.

    python -m benchmarks.left_out COHORT --sequence T2WI --epochs 100 --out FILE

Trains on the GE images of the cohort's training patients alone, chooses by the GE images of its validation patients,
and scores the validation patients of every vendor; those of the others were never seen in any way. The weights of an arm
stay beside FILE, so that they can be scored again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from lib.cli.train import labelled_images, plan_of
from lib.configs.settings import Settings
from lib.domain.records import CaseScore, LabelledImage
from lib.domain.sequences import SEQUENCES
from lib.imaging.volume import write_bytes
from lib.loop.retrain import images_on
from lib.nets.augment import RANDOMISED, STANDARD
from lib.nets.find import load_finder
from lib.nets.fit import fit
from lib.nets.networks import LoadedWeights, load_weights, save_weights
from lib.nets.score import score_images
from lib.nets.trainee import FitSettings
from lib.registry.models import FINDER

SEEN = "GE"
ARMS = {"standard": STANDARD, "randomised": RANDOMISED}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", type=Path)
    options.add_argument("--sequence", default="T2WI", choices=list(SEQUENCES))
    options.add_argument("--epochs", type=int, default=100, help="of 25 steps")
    options.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    options.add_argument("--start-from", type=Path, help="weights that never saw the other vendors")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--threads", type=int)
    options.add_argument("--device", default="auto")
    options.add_argument("--out", type=Path, required=True)
    given = options.parse_args()
    images = labelled_images(given.cohort, given.sequence)
    base = load_weights(given.start_from) if given.start_from else None
    found = {}
    for arm in given.arms:
        settings = FitSettings(epochs=given.epochs, seed=given.seed, device=given.device, threads=given.threads)
        found[arm] = trial(images, given.sequence, replace(settings, strength=ARMS[arm]), base, given.out)
        write_bytes(
            json.dumps({"sequence": given.sequence, "epochs": given.epochs, **found}, indent=1).encode(), given.out
        )
    print(given.out.read_text())


def trial(
    images: Sequence[LabelledImage], code: str, settings: FitSettings, base: LoadedWeights | None, out: Path
) -> dict[str, dict[str, float | int | None]]:
    """Train one arm and score it: per group of vendors, the figures of ``summary``."""
    training = [image for image in images_on(images, "train") if image.vendor == SEEN]
    validation = images_on(images, "validation")
    seen = [image for image in validation if image.vendor == SEEN]
    plan = plan_of(code, base)
    arm = "standard" if settings.strength == STANDARD else "randomised"
    result = fit(
        training, seen, plan, settings, start_from=base, checkpoint=out.with_name(f"{out.stem}_{arm}.checkpoint")
    )
    find = load_finder(Settings.from_conf({}).models().find(FINDER), settings.device)
    weights = LoadedWeights(state=dict(result.state), plan=result.plan, notes={})
    save_weights(out.with_name(f"{out.stem}_{arm}.safetensors"), weights.state, weights.plan, weights.notes)
    scores = score_images(weights, validation, settings.device, find=find)
    vendors = sorted({score.vendor for score in scores})
    groups = {SEEN: [SEEN], "left out": [vendor for vendor in vendors if vendor != SEEN]}
    groups |= {vendor: [vendor] for vendor in groups["left out"]}
    return {name: summary([one for one in scores if one.vendor in members]) for name, members in groups.items()}


def summary(scores: Sequence[CaseScore]) -> dict[str, float | int | None]:
    """Of masses over the images that hold one, of kidneys and false masses over all."""
    holding = [score for score in scores if score.found is not None]
    masses = [score.dice["mass"] or 0.0 for score in holding]
    kidneys = [dice for score in scores if (dice := score.dice["kidney"]) is not None]
    found = [bool(score.found) for score in holding]
    return {
        "images": len(masses),
        "median_mass_dsc": round(median(masses), 4) if masses else None,
        "mean_mass_dsc": round(sum(masses) / len(masses), 4) if masses else None,
        "median_kidney_dsc": round(median(kidneys), 4) if kidneys else None,
        "found": round(sum(found) / len(found), 4) if found else None,
        "false_positives_per_image": round(sum(score.false_positives for score in scores) / len(scores), 2)
        if scores
        else None,
    }


if __name__ == "__main__":
    main()
