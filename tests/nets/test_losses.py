from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceCELoss

from lib.domain.structures import STRUCTURE_NAMES
from lib.nets.losses import drawn_classes, partial_dice_ce

ALL = frozenset(STRUCTURE_NAMES)
CLASSES = 1 + len(STRUCTURE_NAMES)
some_drawn = st.frozensets(st.sampled_from(STRUCTURE_NAMES), min_size=1)


def sample(seed: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((batch, CLASSES, 5, 4, 3), generator=generator)
    target = torch.randint(0, CLASSES, (batch, 5, 4, 3), generator=generator).to(torch.uint8)
    return logits.requires_grad_(), target


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_with_everything_drawn_the_loss_is_monais(seed: int) -> None:
    logits, target = sample(seed)
    ours = partial_dice_ce(logits, target, drawn_classes([ALL, ALL], STRUCTURE_NAMES))
    theirs = DiceCELoss(softmax=True, to_onehot_y=True, include_background=False, batch=True)
    assert ours.item() == pytest.approx(theirs(logits, target[:, None].long()).item(), rel=1e-5)


@given(seed=st.integers(0, 1000), drawn=st.tuples(some_drawn, some_drawn))
@settings(max_examples=30, deadline=None)
def test_how_merged_classes_share_their_probability_changes_nothing(
    seed: int, drawn: tuple[frozenset[str], frozenset[str]]
) -> None:
    """Move probability between background and the undrawn classes, keeping its sum: the loss must not move."""
    logits, target = sample(seed)
    table = drawn_classes(drawn, STRUCTURE_NAMES)
    log_p = torch.log_softmax(logits.detach(), 1)
    merged = (~table)[:, :, None, None, None].expand_as(log_p)
    total = torch.logsumexp(log_p.masked_fill(~merged, -torch.inf), 1, keepdim=True)
    shares = torch.log_softmax(torch.randn(log_p.shape).masked_fill(~merged, -torch.inf), 1)
    moved = torch.where(merged, total + shares, log_p)
    expected = partial_dice_ce(log_p, target, table).item()
    assert partial_dice_ce(moved, target, table).item() == pytest.approx(expected, abs=2e-5)


@given(seed=st.integers(0, 1000), drawn=st.tuples(some_drawn, some_drawn))
@settings(max_examples=30, deadline=None)
def test_the_gradient_never_moves_probability_among_merged_classes(
    seed: int, drawn: tuple[frozenset[str], frozenset[str]]
) -> None:
    """Merged logits are pushed only in proportion to their probabilities, which keeps their ratios' log-odds."""
    logits, target = sample(seed)
    table = drawn_classes(drawn, STRUCTURE_NAMES)
    partial_dice_ce(logits, target, table).backward()
    push = logits.grad / torch.softmax(logits.detach(), 1)
    for case in range(len(table)):
        merged = push[case, ~table[case]]
        assert torch.allclose(merged, merged[:1].expand_as(merged), atol=1e-4)


def test_each_case_of_a_batch_is_judged_by_what_was_drawn_in_it() -> None:
    logits, target = sample(1)
    both = drawn_classes([ALL, {"mass"}], STRUCTURE_NAMES)
    changed = target.clone()
    changed[1][target[1] == 1] = 0  # kidney was not drawn in the second case: there it means nothing
    assert partial_dice_ce(logits, target, both) == partial_dice_ce(logits, changed, both)
    changed[0][target[0] == 1] = 0
    assert partial_dice_ce(logits, target, both) != partial_dice_ce(logits, changed, both)


@pytest.mark.parametrize("drawn", [ALL, frozenset({"mass"}), frozenset()])
def test_an_empty_label_gives_a_finite_loss_and_gradient(drawn: frozenset[str]) -> None:
    logits, target = sample(2)
    loss = partial_dice_ce(logits * 50, torch.zeros_like(target), drawn_classes([drawn, drawn], STRUCTURE_NAMES))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_a_perfect_prediction_costs_almost_nothing() -> None:
    _, target = sample(3)
    logits = 100 * torch.nn.functional.one_hot(target.long(), CLASSES).movedim(-1, 1).float()
    assert partial_dice_ce(logits, target, drawn_classes([ALL, ALL], STRUCTURE_NAMES)).item() < 1e-3
