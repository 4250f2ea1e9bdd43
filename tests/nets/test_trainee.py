from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lib.domain.errors import BadRequestError
from lib.domain.records import LabelledImage
from lib.nets import trainee
from lib.nets.cases import Batch, cut_batch
from lib.nets.fit import fit
from lib.nets.networks import LoadedWeights, Plan, build_network
from lib.nets.trainee import FREEZABLE, FitSettings

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
