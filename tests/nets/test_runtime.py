from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from lib.configs.settings import APP_FOLDER
from lib.domain.sequences import SEQUENCES
from lib.nets.networks import LoadedWeights, load_weights, network_with
from lib.nets.runtime import load_runner, openvino_runner, replaying_runner, torch_runner
from lib.registry.models import FINDER

SHAPES = [(32, 48, 16), (64, 32, 32)]


@pytest.mark.parametrize("name", [*SEQUENCES, FINDER])
def test_openvino_gives_the_probabilities_of_pytorch_with_the_weights_that_ship(name: str) -> None:
    pytest.importorskip("openvino")
    weights = load_weights(APP_FOLDER / "model" / "shipped" / f"{name}.safetensors")
    plan = weights.plan
    network = network_with(weights).eval()
    run = openvino_runner(network, plan.multiple)
    for shape in SHAPES:
        image = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(6))
        with torch.inference_mode():
            expected = torch.softmax(network(image), 1)
        assert torch.allclose(torch.softmax(run(image), 1), expected, atol=1e-3)


def test_several_threads_share_one_network(tiny_weights: LoadedWeights) -> None:
    run = load_runner(tiny_weights, "cpu")
    images = [torch.randn(1, 1, 32, 32, 16) for _ in range(12)]
    alone = [run(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, images))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


def test_several_threads_load_networks_at_once() -> None:
    pytest.importorskip("openvino")
    shipped = [load_weights(APP_FOLDER / "model" / "shipped" / f"{name}.safetensors") for name in (*SEQUENCES, FINDER)]
    with ThreadPoolExecutor(len(shipped)) as pool:
        runners = list(pool.map(load_runner, shipped))
    assert all(torch.isfinite(run(torch.zeros(1, 1, *SHAPES[0]))).all() for run in runners)


def test_an_answer_stays_as_it_is_when_the_next_one_comes(tiny_weights: LoadedWeights) -> None:
    run = load_runner(tiny_weights, "cpu")
    first = run(torch.ones(1, 1, 32, 32, 16))
    kept = first.clone()
    run(torch.zeros(1, 1, 32, 32, 16))
    assert torch.equal(first, kept)


def test_without_openvino_pytorch_runs_the_network(
    tiny_weights: LoadedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    image = torch.randn(1, 1, 32, 32, 16)
    expected = torch_runner(network_with(tiny_weights).eval())(image)
    assert torch.equal(load_runner(tiny_weights, "cpu")(image), expected)


def test_each_shape_is_recorded_once_and_the_window_beforehand(tiny_weights: LoadedWeights) -> None:
    recorded: list[tuple[int, ...]] = []

    def record(network: nn.Module, example: Tensor) -> Callable[[Tensor], Tensor]:
        recorded.append(tuple(example.shape[2:]))
        return network

    network = network_with(tiny_weights).eval()
    run = replaying_runner(network, (1, 1, 32, 32, 16), record)
    assert recorded == [(32, 32, 16)]
    image = torch.randn(1, 1, 32, 32, 16)
    first, _, again = run(image), run(torch.randn(1, 1, 48, 32, 16)), run(image)
    assert recorded == [(32, 32, 16), (48, 32, 16)]
    assert torch.equal(first, again)
    with torch.inference_mode():
        expected = torch.softmax(network(image), 1)
    assert torch.allclose(torch.softmax(first, 1), expected, atol=0.05)


def test_a_network_that_cannot_be_recorded_runs_and_that_is_said_once(
    tiny_weights: LoadedWeights, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> Callable[[Tensor], Tensor]:
        raise RuntimeError

    with caplog.at_level(logging.WARNING):
        run = replaying_runner(network_with(tiny_weights).eval(), (1, 1, 32, 32, 16), refuse)
        assert torch.isfinite(run(torch.randn(1, 1, 48, 32, 16))).all()
    assert caplog.text.count("runs unrecorded") == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_recording_gives_what_the_network_gives(tiny_weights: LoadedWeights) -> None:
    image = torch.randn(1, 1, 32, 32, 16)
    run = load_runner(tiny_weights, "cuda")
    first = run(image)
    run(torch.zeros_like(image))
    expected = torch.softmax(torch_runner(network_with(tiny_weights).eval().cuda())(image), 1)
    assert torch.allclose(torch.softmax(first, 1), expected, atol=0.05)
    assert torch.equal(run(image), first)
