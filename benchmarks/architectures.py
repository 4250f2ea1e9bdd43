"""Which network, spacing and patch: what each costs, and what it learns in the same seconds of the process.

    python -m benchmarks.architectures COHORT --sequence NP --seconds 300 --out architectures.json

Every candidate sees the same training patients for the same process seconds of steps, then the same validation images
on its own working grid (scores on grids of one spacing compare; those of another spacing are marked by it). A window's
cost is the forward pass of one training patch in float32, per cubic decimetre of the body that it covers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from monai.networks.nets import BasicUNet, SegResNet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lib.cli.train import labelled_images
from lib.domain.sequences import SEQUENCES
from lib.imaging.metrics import dice
from lib.imaging.volume import write_bytes
from lib.loop.retrain import images_on
from lib.nets.cases import ReadyCase, read_cases
from lib.nets.networks import Plan, build_network
from lib.nets.runtime import torch_runner
from lib.nets.trainee import FitSettings, Trainee
from lib.nets.windows import class_probabilities

WINDOWS = 3


def seg_res_net(plan: Plan) -> nn.Module:
    network: nn.Module = SegResNet(
        init_filters=16, in_channels=1, out_channels=plan.classes, norm=("INSTANCE", {"affine": True})
    )
    return network


def basic_unet(plan: Plan) -> nn.Module:
    network: nn.Module = BasicUNet(in_channels=1, out_channels=plan.classes, features=(16, 32, 64, 128, 128, 16))
    return network


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A network and the grid that it works on."""

    plan: Plan = field(default_factory=lambda: Plan(code="NP"))
    build: Callable[[Plan], nn.Module] = build_network


def _ours(patch: tuple[int, int, int] = (96, 96, 40), **changes: Any) -> Candidate:
    return Candidate(plan=replace(Plan(code="NP", patch=patch, window=patch), **changes))


CANDIDATES = {
    "DynUNet behind a 2x2x1 stem (ships)": _ours(),
    "the same, no stem": _ours(stem=(1, 1, 1), channels=(16, 32, 64, 128)),
    "the same, half the channels": _ours(channels=(8, 16, 32, 64)),
    "the same, 1.5 times the channels": _ours(channels=(24, 48, 96, 192)),
    "the same, one level more": _ours(patch=(96, 96, 48), channels=(16, 32, 64, 128, 128)),
    "the same, small patch": _ours(patch=(64, 64, 24)),
    "the same, 2 x 2 x 3 mm": _ours(spacing_mm=(2.0, 2.0, 3.0), patch=(80, 80, 40)),
    "the same, 1.2 x 1.2 x 3 mm": _ours(spacing_mm=(1.2, 1.2, 3.0), patch=(112, 112, 40)),
    "MONAI SegResNet, 16 filters": Candidate(build=seg_res_net),
    "MONAI BasicUNet, 16 to 128 filters": Candidate(build=basic_unet),
}


class Timed(Trainee):
    """A training whose budget is the process's seconds, so that other work on the machine does not count."""

    seconds = 0.0

    def progress(self) -> float:  # noqa: D102
        if not self.steps:
            self.began = time.process_time()
        return min(1.0, (time.process_time() - self.began) / self.seconds)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", type=Path)
    options.add_argument("--sequence", default="NP", choices=list(SEQUENCES))
    options.add_argument("--seconds", type=float, default=300.0, help="of the process, of steps, for each")
    options.add_argument("--training", type=int, default=40, help="images at most")
    options.add_argument("--validation", type=int, default=16, help="images at most")
    options.add_argument("--candidates", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES))
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--device", default="auto")
    options.add_argument("--out", type=Path, required=True)
    given = options.parse_args()
    images = labelled_images(given.cohort, given.sequence)
    training = images_on(images, "train")[: given.training]
    validation = images_on(images, "validation")[: given.validation]
    settings = FitSettings(seed=given.seed, device=given.device)
    found = {}
    for name in given.candidates:
        candidate = CANDIDATES[name]
        candidate = replace(candidate, plan=replace(candidate.plan, code=given.sequence))
        train, held_out = read_cases(training, candidate.plan), read_cases(validation, candidate.plan)
        found[name] = trial(candidate, train, held_out, settings, given.seconds)
        print(json.dumps({name: found[name]}), flush=True)
        write_bytes(json.dumps({"sequence": given.sequence, "seconds": given.seconds, **found}).encode(), given.out)


def trial(
    candidate: Candidate,
    train: Sequence[ReadyCase],
    held_out: Sequence[ReadyCase],
    settings: FitSettings,
    seconds: float,
) -> dict[str, object]:
    """Train for so many seconds, score, and say what a window costs."""
    plan = candidate.plan
    torch.manual_seed(settings.seed)
    run = Timed(plan, settings, candidate.build(plan), time.monotonic())
    run.seconds = seconds
    while run.progress() < 1:
        run.step(train)
    scores = [scored(run.average, plan, case) for case in held_out]
    masses = [score["mass"] for score in scores if score["mass"] is not None]
    kidneys = [score["kidney"] for score in scores if score["kidney"] is not None]
    return {
        "parameters": sum(weight.numel() for weight in run.network.parameters()),
        **window_cost(run.average, plan),
        "steps": run.steps,
        "step_s": round(seconds / run.steps, 3),
        "mean_mass_dice": round(fmean(masses), 3),
        "median_mass_dice": round(median(masses), 3),
        "mean_kidney_dice": round(fmean(kidneys), 3),
        "images": len(masses),
    }


def scored(network: nn.Module, plan: Plan, case: ReadyCase) -> dict[str, float | None]:
    winners = class_probabilities(case.image.float(), torch_runner(network), plan, mirrored=False).argmax(0).numpy()
    truth = case.label.numpy()
    return {
        name: dice(winners == index, truth == index) if (truth == index).any() else None
        for index, name in enumerate(plan.structures, start=1)
    }


def window_cost(network: nn.Module, plan: Plan) -> dict[str, float]:
    """GFLOP and process seconds of one window, and per dm³."""
    window = torch.zeros((1, 1, *plan.patch), device=next(network.parameters()).device)
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            network(window)
        began = time.process_time()
        for _ in range(WINDOWS):
            network(window)
    seconds = (time.process_time() - began) / WINDOWS
    litres = prod(plan.patch) * prod(plan.spacing_mm) / 1e6
    gflop = counter.get_total_flops() / 1e9
    return {"gflop_per_litre": round(gflop / litres, 1), "s_per_litre": round(seconds / litres, 3)}


if __name__ == "__main__":
    main()
