from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from lib.domain.errors import BadRequestError
from lib.domain.records import LabelledImage
from lib.nets import trainee
from lib.nets.cases import Batch, cut_batch, placed, read_cases
from lib.nets.fit import fit
from lib.nets.losses import partial_dice_ce
from lib.nets.networks import LoadedWeights, Plan, build_network
from lib.nets.trainee import FREEZABLE, FitSettings, Trainee, state_of

Make = Callable[..., list[LabelledImage]]
SETTINGS = FitSettings(epochs=1, steps_per_epoch=3, batch_size=4, device="cpu")


def memory_for(most: int, sizes: list[int]) -> Callable[..., Batch]:
    def cut(cases: object, plan: Plan, size: int, generator: torch.Generator) -> Batch:
        sizes.append(size)
        if size > most:
            raise torch.OutOfMemoryError
        return cut_batch(cases, plan, size, generator)  # type: ignore[arg-type]

    return cut


def test_when_memory_runs_out_the_batch_is_halved_and_training_goes_on(
    make_cases: Make, tiny_plan: Plan, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(trainee, "cut_batch", memory_for(2, sizes))
    with caplog.at_level(logging.WARNING):
        fit(make_cases(1), [], tiny_plan, SETTINGS)
    assert sizes == [4, 2, 2, 2]
    assert "batches of 2" in caplog.text


def test_when_half_a_batch_is_too_much_as_well_the_error_says_what_to_change(
    make_cases: Make, tiny_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(trainee, "cut_batch", memory_for(1, sizes))
    with pytest.raises(BadRequestError, match="smaller batch"):
        fit(make_cases(1), [], tiny_plan, SETTINGS)
    assert sizes == [4, 2]


def test_what_is_frozen_stays_and_the_rest_learns(
    make_cases: Make, tiny_plan: Plan, tiny_weights: LoadedWeights
) -> None:
    settings = replace(SETTINGS, batch_size=1, freeze="encoder")
    result = fit(make_cases(1), [], tiny_plan, settings, start_from=tiny_weights)
    frozen = FREEZABLE["encoder"]
    changed = {name for name, tensor in result.state.items() if not torch.equal(tensor, tiny_weights.state[name])}
    assert changed
    assert not [name for name in changed if name.startswith(frozen)]
    assert any(name.startswith(frozen) for name in result.state)


def test_every_part_that_can_be_frozen_is_part_of_the_network(tiny_plan: Plan) -> None:
    names = [name for name, _ in build_network(tiny_plan).named_parameters()]
    for prefix in (prefix for part in FREEZABLE.values() for prefix in part):
        assert any(name.startswith(prefix) for name in names), prefix


def test_freezing_what_there_is_not_is_refused(make_cases: Make, tiny_plan: Plan) -> None:
    with pytest.raises(BadRequestError, match="encoder and bottleneck"):
        fit(make_cases(1), [], tiny_plan, replace(SETTINGS, freeze="decoder"))


def test_a_loss_that_is_not_finite_changes_no_weight(
    make_cases: Make, tiny_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = read_cases(make_cases(1), tiny_plan)
    run = Trainee(tiny_plan, SETTINGS, build_network(tiny_plan), time.monotonic())
    run.step(cases)
    before = state_of(run.network)
    monkeypatch.setattr(trainee, "partial_dice_ce", lambda *given: partial_dice_ce(*given) * torch.nan)
    assert not torch.isfinite(run.step(cases))
    assert all(torch.equal(tensor, before[name]) for name, tensor in state_of(run.network).items())
    monkeypatch.undo()
    run.step(cases)
    assert not all(torch.equal(tensor, before[name]) for name, tensor in state_of(run.network).items())


def test_a_network_that_cannot_be_translated_is_trained_as_it_is(
    make_cases: Make, tiny_plan: Plan, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: object) -> Callable[..., None]:
        def run(*_: object) -> None:
            raise TorchDynamoException

        return run

    cases = make_cases(1)
    expected = fit(cases, [], tiny_plan, SETTINGS)
    monkeypatch.setattr(torch, "compile", refuse)
    with caplog.at_level(logging.WARNING):
        found = fit(cases, [], tiny_plan, replace(SETTINGS, compile=True))
    assert caplog.text.count("goes on without") == 1
    assert all(torch.equal(found.state[name], expected.state[name]) for name in expected.state)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("free", [10**12, 0], ids=["resident", "streamed"])
def test_a_gpu_gets_the_same_patches_whether_cases_fit_or_not(
    make_cases: Make, tiny_plan: Plan, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, free))
    here = read_cases(make_cases(2), tiny_plan)
    there = placed(here, torch.device("cuda"))
    assert there[0].image.is_cuda == (free > 0)
    one, other = (cut_batch(cases, tiny_plan, 3, torch.Generator().manual_seed(2)) for cases in (here, there))
    assert torch.equal(one.image, other.image.cpu())
    assert torch.equal(one.label, other.label.cpu())
