"""Patches a second of our training step and of nnU-Net's, with the same network, cases, patch and device, in one run.

    make bench-peers && python -m benchmarks.fit --patients 4 --seconds 60

Ours cuts and varies patches where the network trains; nnU-Net's are loaded and varied by worker processes. Per stage, the
share of our step's time. On a GPU, busy is the share of the clock in which a kernel ran, as CUDA's profiler saw it; without
one the CPU's figures are printed, and that is said. Seconds are the clock's: on a machine that does other things as well
only the ratio of the two means anything.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.nnunet_peer import HOW, installed, peer_trainer
from lib.domain.records import LabelledImage
from lib.domain.structures import STRUCTURE_NAMES
from lib.imaging.volume import write_volume
from lib.nets.augment import RANDOMISED, STANDARD, augment
from lib.nets.cases import ReadyCase, cut_batch, placed, read_cases
from lib.nets.losses import drawn_classes, partial_dice_ce
from lib.nets.networks import Plan, build_network, mixed_precision, pick_device
from lib.nets.trainee import FitSettings, Trainee
from lib.phantom.cohort import FULL_SIZE, SMALL_SIZE, Size, make_case

WARM_UP = 3
PROFILED = 20  # steps


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--patients", type=int, default=4)
    options.add_argument("--batch", type=int, default=2)
    options.add_argument("--seconds", type=float, default=60.0, help="of each")
    options.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options.add_argument(
        "--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="of nnU-Net's augmentation"
    )
    options.add_argument("--small", action="store_true", help="small images")
    options.add_argument("--device", default="auto")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    device = pick_device(given.device)
    with tempfile.TemporaryDirectory() as temporary:
        size = SMALL_SIZE if given.small else FULL_SIZE
        found = compare(Path(temporary), given.patients, given.batch, given.seconds, device, given.workers, size)
    print(json.dumps(found, indent=1))


def compare(
    folder: Path, patients: int, batch: int, seconds: float, device: torch.device, workers: int, size: Size
) -> dict[str, Any]:
    """Measure everything; the peer's figures are None, with the reason, where it is not installed."""
    plan = Plan(code="NP")
    cases = phantoms(folder, patients, plan, size)
    resident = placed(cases, device)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU: no GPU is at hand",
        "threads": torch.get_num_threads(),
        "patch": list(plan.patch),
        "batch": batch,
    }
    for name, strength in (("ours", STANDARD), ("ours, randomised", RANDOMISED)):
        trainee = Trainee(
            plan,
            FitSettings(batch_size=batch, device=str(device), strength=strength, epochs=10**6),
            build_network(plan),
            time.monotonic(),
        )
        found[name] = measured(partial(trainee.step, resident), batch, seconds, device)
    found["share of our step"] = stages(resident, plan, batch, device)
    if not installed():
        return found | {"nnU-Net": None, "why": HOW}
    with peer_trainer(cases, plan, batch, device, workers, folder / "nnunet") as peer:
        found["nnU-Net"] = measured(lambda: peer.train(peer.load()), batch, seconds, device) | {"workers": workers}
        ready = peer.load()
        found["nnU-Net, on one batch that waits in memory"] = measured(
            lambda: peer.train(ready), batch, seconds / 2, device
        )
    ratio = found["ours"]["patches_per_s"] / found["nnU-Net"]["patches_per_s"]
    return found | {"ours over nnU-Net": round(ratio, 2)}


def phantoms(folder: Path, patients: int, plan: Plan, size: Size) -> list[ReadyCase]:
    """Phantoms on the working grid, as training holds them."""
    images = []
    for number in range(patients):
        case = make_case(910_000, number, plan.code, size=size)
        image, label = (folder / f"{kind}{number}.nii.gz" for kind in ("image", "label"))
        write_volume(case.image, image)
        write_volume(case.label, label)
        images.append(
            LabelledImage(
                image_id=f"P{number:04d}_{plan.code}",
                patient_id=f"P{number:04d}",
                image=image,
                label=label,
                drawn=frozenset(STRUCTURE_NAMES),
            )
        )
    return read_cases(images, plan)


def measured(step: Callable[[], object], batch: int, seconds: float, device: torch.device) -> dict[str, Any]:
    """Patches a second, and how busy the GPU is, after some steps that do not count."""
    for _ in range(WARM_UP):
        step()
    wait(device)
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step()
        steps += 1
    wait(device)
    found = {"patches_per_s": round(batch * steps / (time.perf_counter() - started), 3)}
    return found if device.type == "cpu" else found | {"busy": round(busy(step, device), 3)}


def busy(step: Callable[[], object], device: torch.device) -> float:
    """Share of the clock in which the GPU ran a kernel."""
    wait(device)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        started = time.perf_counter()
        for _ in range(PROFILED):
            step()
        wait(device)
        clock_s = time.perf_counter() - started
    return float(sum(row.self_device_time_total for row in seen.key_averages()) / 1e6 / clock_s)


def stages(
    cases: Sequence[ReadyCase], plan: Plan, batch: int, device: torch.device, repeats: int = 5
) -> dict[str, float]:
    """Share of the step's time that each part takes, on its own."""
    network = build_network(plan).to(device).train()
    cut, vary = torch.Generator().manual_seed(0), torch.Generator(device).manual_seed(0)
    spent = dict.fromkeys(("cut", "augment", "forward", "backward"), 0.0)
    for turn in range(WARM_UP + repeats):
        marks = [now(device)]
        taken = cut_batch(cases, plan, batch, cut)
        image, label = taken.image.to(device), taken.label.to(device)
        marks.append(now(device))
        image, label = augment(image, label, plan.patch, plan.spacing_mm, vary)
        marks.append(now(device))
        with mixed_precision(device):
            logits = network(image)
        loss = partial_dice_ce(logits, label[:, 0], drawn_classes(taken.drawn, plan.structures))
        marks.append(now(device))
        loss.backward()  # type: ignore[no-untyped-call]
        marks.append(now(device))
        if turn >= WARM_UP:
            for name, before, after in zip(spent, marks, marks[1:], strict=False):
                spent[name] += after - before
    whole = sum(spent.values())
    return {name: round(value / whole, 3) for name, value in spent.items()}


def now(device: torch.device) -> float:
    wait(device)
    return time.perf_counter()


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
