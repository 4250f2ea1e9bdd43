from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lib.nets.find import FINDER_PLAN
from lib.nets.networks import LoadedWeights, Plan, build_network, network_with
from lib.nets.runtime import load_runner, openvino_runner, torch_runner

SHAPES = [(32, 48, 16), (64, 32, 32)]


def random_weights(plan: Plan) -> LoadedWeights:
    torch.manual_seed(5)
    return LoadedWeights(plan=plan, state=build_network(plan).state_dict())


@pytest.mark.parametrize("plan", [Plan(code="CP"), FINDER_PLAN], ids=["sequence", "finder"])
def test_openvino_gives_the_probabilities_of_pytorch_for_every_shape(plan: Plan) -> None:
    pytest.importorskip("openvino")
    weights = random_weights(plan)
    network = network_with(weights).eval()
    run = openvino_runner(network, plan.multiple)
    for shape in SHAPES:
        image = torch.randn(1, 1, *shape)
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
