"""Where a proposal's time goes, and what runs the network fastest; every runner on the same windows in one run.

    python -m benchmarks.infer --matrix 311 242 60 --threads 2

Seconds are those of the process (all its threads), which other work on the machine disturbs less than the clock does,
and of the clock. The peer is PyTorch, in float32 and, where the processor multiplies it, in bfloat16.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from lib.configs.settings import Settings
from lib.imaging.lesions import measure_masses
from lib.nets.find import load_finder
from lib.nets.networks import LoadedWeights, load_weights, mixed_precision, network_with
from lib.nets.predict import Predictor
from lib.nets.runtime import Runner, openvino_runner, torch_runner
from lib.phantom.cohort import Size, make_case
from lib.registry.models import FINDER


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sequence", default="NP")
    options.add_argument("--matrix", type=int, nargs=3, default=(311, 242, 60))
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--repeats", type=int, default=5)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    models = Settings.from_conf({}).models()
    weights = load_weights(models.champion(given.sequence))
    print(f"one window of {'x'.join(map(str, weights.plan.window))} voxels, {given.threads} threads\n")
    print("| runner | process s | clock s | largest difference in probability |\n|---|---|---|---|")
    for name, spent in runners(weights, given.repeats).items():
        print(f"| {name} | {spent[0]:.3f} | {spent[1]:.3f} | {spent[2]:.1e} |")
    case = make_case(5, 0, given.sequence, vendors=["GE"], size=Size(matrix=tuple(given.matrix)))
    print(f"\none image of {'x'.join(map(str, given.matrix))} voxels\n")
    print(
        "| searched | process s | clock s | prepare, find, network, restore, measure (clock s) | masses |\n|---|---|---|---|---|"
    )
    finder = load_finder(models.find(FINDER), "cpu")
    for name, predict in (
        ("around the kidneys", Predictor(weights, "cpu", find=finder)),
        ("the whole field of view", Predictor(weights, "cpu")),
    ):
        predict(case.image)
        rows = [_proposed(predict, case.image) for _ in range(given.repeats)]
        process, clock = (median(row[index] for row in rows) for index in (0, 1))
        stages = ", ".join(f"{median(row[2][stage] for row in rows):.2f}" for stage in rows[0][2])
        print(f"| {name} | {process:.2f} | {clock:.2f} | {stages} | {rows[0][3]} |")


def runners(weights: LoadedWeights, repeats: int) -> dict[str, tuple[float, float, float]]:
    """Median seconds of the process and of the clock per window, and how far probabilities are from PyTorch's."""
    network = network_with(weights).eval()
    image = torch.randn(1, 1, *weights.plan.window, generator=torch.Generator().manual_seed(0))

    @torch.inference_mode()
    def exact(window: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = network(window)
        return logits

    known: dict[str, Runner] = {"PyTorch, float32": exact}
    if mixed_precision(torch.device("cpu")).fast_dtype == torch.bfloat16:
        known["PyTorch, as trained here (bfloat16 where fast)"] = torch_runner(network)
    known["OpenVINO, float32 (serves)"] = openvino_runner(network, weights.plan.multiple)
    expected = torch.softmax(exact(image), 1)
    return {
        name: (*_timed(lambda run=run: run(image), repeats), _off(run(image), expected)) for name, run in known.items()
    }


def _timed(action: Callable[[], object], repeats: int) -> tuple[float, float]:
    action()
    spent = []
    for _ in range(repeats):
        process, clock = time.process_time(), time.perf_counter()
        action()
        spent.append((time.process_time() - process, time.perf_counter() - clock))
    return median(row[0] for row in spent), median(row[1] for row in spent)


def _off(logits: torch.Tensor, expected: torch.Tensor) -> float:
    return float((torch.softmax(logits, 1) - expected).abs().max())


def _proposed(predict: Predictor, image: object) -> tuple[float, float, dict[str, float], int]:
    process, clock = time.process_time(), time.perf_counter()
    found = predict(image)  # type: ignore[arg-type]
    predicted = time.perf_counter()
    masses = measure_masses(found.label, found.certainty)
    stages = {**found.seconds, "measure": time.perf_counter() - predicted}
    return time.process_time() - process, time.perf_counter() - clock, stages, len(masses)


if __name__ == "__main__":
    main()
