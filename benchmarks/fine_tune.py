"""What few labels of a new scanner buy: the weights that ship, trained on, against training from nothing.

    make bench-peers
    python -m benchmarks.fine_tune NEW --earlier OLD --sequence NP --counts 5 10 20 40 --epochs 4 --out fine_tune.json

NEW: a cohort of one scanner that the starting weights never saw a patient of; where there is none, one of the made-up
low-field scanner is made (benchmarks/foreign.py). OLD: one of the scanners that they know. First every arm is trained on 10
patients and scored on NEW's validation patients, and on validation patients of OLD for what it forgot; then the arm that
gained most there (or ``--chosen``) is trained on more and more patients and scored on the holdout patients of both. Every run
takes the same number of steps. On the most patients, training from nothing is held beside it, and nnU-Net's trainer on
the same images for as many seconds of the process. Scores are as ``predict`` gives them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.foreign import FOREIGN, add_foreign
from benchmarks.left_out import SEEN, summary
from benchmarks.nnunet_peer import HOW, installed, peer_fit
from benchmarks.trust import phantom_images
from lib.cli.train import plan_of
from lib.configs.settings import Settings
from lib.domain.records import LabelledImage
from lib.domain.sequences import SEQUENCES
from lib.imaging.volume import write_bytes
from lib.loop.rehearsal import rehearsed
from lib.loop.retrain import images_on
from lib.loop.splits import Side
from lib.nets.cases import read_cases
from lib.nets.find import load_finder
from lib.nets.fit import fit
from lib.nets.networks import LoadedWeights, load_weights, pick_device
from lib.nets.score import score_images
from lib.nets.trainee import FREEZABLE, FitSettings
from lib.phantom.cohort import generate_cohort
from lib.registry.models import FINDER

SELECTION_COUNT = 10
NOTHING = "from nothing"
FOREIGN_PATIENTS, FOREIGN_SEED = 64, 800_001  # 40 to train on, some to choose by and some to test on


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to train.

    Attributes:
        start: From the weights that serve, or from nothing.
        rehearsal: Share of the patches that come from OLD.
    """

    start: bool = True
    learning_rate: float = 2e-3
    freeze: str = ""
    rehearsal: float = 0.0


ARMS = {
    NOTHING: Arm(start=False),
    "rate 0.002": Arm(),
    "rate 0.0005": Arm(learning_rate=5e-4),
    "rate 0.0002": Arm(learning_rate=2e-4),
    **{f"rate 0.0005, {part} frozen": Arm(learning_rate=5e-4, freeze=part) for part in FREEZABLE if part},
    "rate 0.0005, rehearsal 0.25": Arm(learning_rate=5e-4, rehearsal=0.25),
    "rate 0.0005, rehearsal 0.5": Arm(learning_rate=5e-4, rehearsal=0.5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What every run shares."""

    code: str
    settings: FitSettings
    base: LoadedWeights
    new: Sequence[LabelledImage]
    old: Sequence[LabelledImage]
    most: int


def main() -> None:
    given = _options().parse_args()
    if not given.cohort.exists():
        add_foreign()
        generate_cohort(
            given.cohort,
            patients=FOREIGN_PATIENTS,
            seed=FOREIGN_SEED,
            sequences=[given.sequence],
            vendors=[FOREIGN],
            workers=os.cpu_count() or 1,
        )
    base = load_weights(Settings.from_conf({}).models().shipped_file(given.sequence))
    trial = Trial(
        code=given.sequence,
        settings=FitSettings(epochs=given.epochs, seed=given.seed, device=given.device, threads=given.threads),
        base=base,
        new=phantom_images(given.cohort, given.sequence),
        old=[image for image in phantom_images(given.earlier, given.sequence) if image.vendor == SEEN],
        most=given.most,
    )
    found: dict[str, object] = {"sequence": given.sequence, "steps": given.epochs * trial.settings.steps_per_epoch}

    def keep(name: str, figures: object) -> None:
        found[name] = figures
        write_bytes(json.dumps(found, indent=1).encode(), given.out)

    sides: tuple[Side, ...] = ("validation", "holdout")
    for side in sides:
        keep(f"as shipped, {side}", scores(trial, base, side))
    tried: dict[str, dict[str, Any]] = {}
    for name, arm in ARMS.items() if not given.chosen else ():
        tried[name] = run(trial, arm, SELECTION_COUNT, "validation")
        keep(f"{SELECTION_COUNT} patients, {name}", {**asdict(arm), **tried[name]})
    chosen = given.chosen or best(tried)
    keep("chosen", chosen)
    for count in given.counts:
        last = run(trial, ARMS[chosen], count, "holdout")
        keep(f"holdout, {count} patients, {chosen}", last)
    keep(f"holdout, {count} patients, {NOTHING}", run(trial, ARMS[NOTHING], count, "holdout"))
    keep(
        f"holdout, {count} patients, {NOTHING}, nnU-Net's trainer",
        peer(trial, count, last["process_s"], "holdout") if installed() else HOW,
    )
    print(given.out.read_text())


def best(tried: Mapping[str, Mapping[str, Any]]) -> str:
    """The arm whose mean mass DSC, averaged over the new scanner and the known ones, is highest."""
    return max(tried, key=lambda name: sum(tried[name][side]["mean_mass_dsc"] or 0.0 for side in ("new", "known")))


def peer(trial: Trial, count: int, seconds: float, side: Side) -> dict[str, object]:
    """nnU-Net's trainer on the same images of NEW, for as many seconds, scored in the same way."""
    plan = plan_of(trial.code, trial.base)
    cases = read_cases(images_on(trial.new, "train")[:count], plan)
    settings = trial.settings
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    with tempfile.TemporaryDirectory() as folder:
        state, steps = peer_fit(cases, plan, settings.batch_size, seconds, pick_device(settings.device), Path(folder))
    weights = LoadedWeights(state=state, plan=plan, notes={})
    return {"process_s": seconds, "steps": steps, **scores(trial, weights, side)}


def run(trial: Trial, arm: Arm, count: int, side: Side) -> dict[str, Any]:
    """Train one arm on so many patients of NEW and score it on one side of both cohorts."""
    new, old = (images_on(images, "train")[:count] for images in (trial.new, trial.old))
    training = rehearsed([*new, *old], old.__contains__, arm.rehearsal) if arm.rehearsal else new
    settings = replace(trial.settings, learning_rate=arm.learning_rate, freeze=arm.freeze)
    plan = plan_of(trial.code, trial.base)
    began = time.process_time()
    result = fit(training, [], plan, settings, start_from=trial.base if arm.start else None)
    spent = time.process_time() - began
    weights = LoadedWeights(state=dict(result.state), plan=plan, notes={})
    return {"process_s": round(spent, 1), **scores(trial, weights, side)}


def scores(trial: Trial, weights: LoadedWeights, side: Side) -> dict[str, object]:
    """Figures of the new scanner and of the ones known before."""
    find = load_finder(Settings.from_conf({}).models().find(FINDER), trial.settings.device)
    found: dict[str, object] = {}
    for name, images in (("new", trial.new), ("known", trial.old)):
        chosen = images_on(images, side)[: trial.most]
        found[name] = summary(score_images(weights, chosen, trial.settings.device, find=find))
    return found


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", type=Path, help="NEW")
    options.add_argument("--earlier", type=Path, required=True, help="OLD")
    options.add_argument("--sequence", default="NP", choices=list(SEQUENCES))
    options.add_argument("--counts", nargs="+", type=int, default=[5, 10, 20, 40])
    options.add_argument("--chosen", choices=list(ARMS), help="instead of choosing on validation patients")
    options.add_argument("--epochs", type=int, default=4, help="of 25 steps")
    options.add_argument("--most", type=int, default=14, help="images scored per cohort")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--threads", type=int)
    options.add_argument("--device", default="auto")
    options.add_argument("--out", type=Path, required=True)
    return options


if __name__ == "__main__":
    main()
