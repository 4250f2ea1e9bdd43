"""Where a proposal's time goes, what runs the network fastest, and what peers take: all on the same image in one run.

    make bench-peers && python -m benchmarks.infer --matrix 311 242 60 --threads 2

Seconds are those of the process (all its threads), which other work on the machine disturbs less than the clock does,
and of the clock. Ours and nnU-Net's predictor run the same trained network; the sample app of MONAI Label has its own.
Operations are what PyTorch's counter finds in each pipeline (ours is run once in PyTorch for that), also as the share of
this machine's rate at a large matrix product in float32. Both rates are per second of the process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.monai_peer import sample_app
from benchmarks.nnunet_peer import HOW, installed, peer_predictor
from lib.configs.settings import Settings
from lib.imaging.lesions import measure_masses
from lib.imaging.metrics import dice
from lib.imaging.volume import Volume
from lib.nets.find import load_finder
from lib.nets.networks import LoadedWeights, load_weights, mixed_precision, network_with
from lib.nets.predict import FindKidneys, Predictor, predict_volume
from lib.nets.runtime import Runner, openvino_runner, torch_runner
from lib.phantom.cohort import Size, make_case
from lib.registry.models import FINDER

AROUND, EVERYWHERE = "ours, around the kidneys", "ours, the whole field of view"
_SIDE = 2048
_MEASURED = 5
T = TypeVar("T")
Pipeline = Callable[[Volume], tuple[Any, dict[str, float]]]
"""An image to a label on its voxels, and the seconds of each stage."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sequence", default="NP")
    options.add_argument("--matrix", type=int, nargs=3, default=(311, 242, 60))
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--repeats", type=int, default=5, help="of ours; a peer, which takes minutes, is run once")
    options.add_argument("--without-mirroring", action="store_true", help="of nnU-Net, which mirrors along three axes")
    options.add_argument("--without-peers", action="store_true")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    models = Settings.from_conf({}).models()
    weights, find = load_weights(models.champion(given.sequence)), load_finder(models.find(FINDER), "cpu")
    case = make_case(5, 0, given.sequence, vendors=["GE"], size=Size(matrix=tuple(given.matrix)))
    rate = matrix_rate()
    print(json.dumps({"threads": given.threads, "matrix product, GFLOP per process second": round(rate / 1e9, 1)}))
    print(json.dumps({"window": weights.plan.window, "runners": runners(weights, given.repeats)}))
    kidney = case.label.data == 1
    served = ours(weights, find)

    def own(name: str, find: FindKidneys | None) -> None:
        operations = flops(lambda: in_pytorch(weights, find)(case.image))
        tell(name, served[name], case.image, kidney, given.repeats, operations, rate)

    own(AROUND, find)
    if not given.without_peers:
        with nnunet(weights, not given.without_mirroring) as (name, predict):
            if predict:
                tell(name, predict, case.image, kidney, 1, None, rate)
    own(EVERYWHERE, None)
    if not given.without_peers:
        tell("MONAI Label's radiology sample", sample_app(weights.plan.classes), case.image, kidney, 1, None, rate)


@contextlib.contextmanager
def nnunet(weights: LoadedWeights, mirrored: bool) -> Iterator[tuple[str, Pipeline | None]]:
    if not installed():
        print(HOW)
        yield "", None
        return
    name = f"nnU-Net, {'' if mirrored else 'not '}mirrored"
    with tempfile.TemporaryDirectory() as folder, peer_predictor(weights, Path(folder), mirrored) as predict:
        yield name, predict


def ours(weights: LoadedWeights, find: FindKidneys | None) -> dict[str, Pipeline]:
    """What serves, around the kidneys and everywhere."""

    def pipeline(predictor: Predictor) -> Pipeline:
        def predict(image: Volume) -> tuple[Any, dict[str, float]]:
            found = predictor(image)
            began = time.perf_counter()
            measure_masses(found.label, found.certainty)
            return found.label.data, {**found.seconds, "measure": time.perf_counter() - began}

        return predict

    return {
        AROUND: pipeline(Predictor(weights, "cpu", find=find)),
        EVERYWHERE: pipeline(Predictor(weights, "cpu")),
    }


def in_pytorch(weights: LoadedWeights, find: FindKidneys | None) -> Callable[[Volume], object]:
    network = torch_runner(network_with(weights).eval())
    return lambda image: predict_volume(image, network, weights.plan, find=find)


def tell(
    name: str, predict: Pipeline, image: Volume, kidney: Any, repeats: int, operations: int | None, rate: float
) -> None:
    """Measure a pipeline; warm, unless its operations have to be counted: then once, while they are."""
    spent = []
    if operations is not None:
        predict(image)
    for _ in range(repeats):
        clock, process = time.perf_counter(), time.process_time()
        with FlopCounterMode(display=False) if operations is None else contextlib.nullcontext() as counter:
            label, stages = predict(image)
        spent.append((time.perf_counter() - clock, time.process_time() - process))
    work = counter.get_total_flops() if counter else operations or 0
    clock_s, process_s = np.median(np.array(spent), axis=0).tolist()
    row = {
        "process_s": round(process_s, 2),
        "clock_s": round(clock_s, 2),
        "stages, clock_s": {stage: round(seconds, 2) for stage, seconds in stages.items()},
        "GFLOP": round(work / 1e9, 1),
        "share of the matrix product's rate": round(work / process_s / rate, 2),
        "kidney DSC": round(dice(label == 1, kidney) or 0.0, 3),
    }
    print(json.dumps({name: row}), flush=True)


def matrix_rate() -> float:
    """Floating-point operations per process second of a large matrix product: the best of some."""
    one, other = torch.randn(2, _SIDE, _SIDE)
    seconds = [timed(lambda: torch.mm(one, other))[0] for _ in range(_MEASURED)]
    return float(2 * _SIDE**3 / min(seconds))


def flops(work: Callable[[], object]) -> int:
    """Operations of the convolutions and products that PyTorch runs."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def runners(weights: LoadedWeights, repeats: int) -> dict[str, dict[str, float]]:
    """Seconds for one window, and the largest difference in probability from PyTorch in float32."""
    network = network_with(weights).eval()
    image = torch.randn(1, 1, *weights.plan.window, generator=torch.Generator().manual_seed(0))

    @torch.inference_mode()
    def exact(window: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = network(window)
        return logits

    known: dict[str, Runner] = {"PyTorch, float32": exact}
    with mixed_precision(torch.device("cpu")):
        multiplies_bfloat16 = torch.is_autocast_enabled("cpu")
    if multiplies_bfloat16:
        known["PyTorch, bfloat16"] = torch_runner(network)
    known["OpenVINO, float32 (serves)"] = openvino_runner(network, weights.plan.multiple)
    expected = torch.softmax(exact(image), 1)
    found = {}
    for name, run in known.items():
        run(image)
        seconds = [timed(partial(run, image)) for _ in range(repeats)]
        found[name] = {
            "process_s": round(median(row[0] for row in seconds), 3),
            "clock_s": round(median(row[1] for row in seconds), 3),
            "off": float((torch.softmax(run(image), 1) - expected).abs().max()),
        }
    return found


def timed(action: Callable[[], object]) -> tuple[float, float]:
    process, clock = time.process_time(), time.perf_counter()
    action()
    return time.process_time() - process, time.perf_counter() - clock


if __name__ == "__main__":
    main()
