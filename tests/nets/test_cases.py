"""How often each case is looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lib.domain.errors import NotEnoughLabelsError
from lib.domain.records import LabelledImage
from lib.nets.cases import cut_batch, read_cases
from lib.nets.networks import Plan

Make = Callable[..., list[LabelledImage]]
DRAWS = 400


def test_a_case_of_a_quarter_of_the_weight_is_looked_at_a_quarter_as_often(make_cases: Make, tiny_plan: Plan) -> None:
    rare, usual = make_cases(2)
    ready = read_cases([replace(rare, weight=0.25, drawn=frozenset({"mass"})), usual], tiny_plan)
    batch = cut_batch(ready, tiny_plan, DRAWS, torch.Generator().manual_seed(1))
    seen = sum(drawn == {"mass"} for drawn in batch.drawn if drawn)
    assert 0.06 * DRAWS < seen < 0.30 * DRAWS


def test_a_case_without_weight_is_never_read(make_cases: Make, tiny_plan: Plan) -> None:
    one, other = make_cases(2)
    one.image.unlink()
    assert len(read_cases([replace(one, weight=0.0), other], tiny_plan)) == 1


def test_when_no_case_has_weight_there_is_nothing_to_learn(make_cases: Make, tiny_plan: Plan) -> None:
    with pytest.raises(NotEnoughLabelsError):
        read_cases([replace(case, weight=0.0) for case in make_cases(1)], tiny_plan)
