from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch

from lib.domain.errors import BadRequestError
from lib.domain.records import LabelledImage
from lib.nets import trainee
from lib.nets.cases import Batch, cut_batch
from lib.nets.fit import fit
from lib.nets.networks import Plan
from lib.nets.trainee import FitSettings

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
