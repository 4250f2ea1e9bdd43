"""The training loss: Dice plus cross-entropy, fair to labels in which only some structures were drawn.

A voxel that is "not mass" in a mass-only label may be background, kidney or cyst. So for each case the classes that
were not drawn are merged with background: only the sum of their probabilities is judged, never how it is divided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

SMOOTH = 1e-5  # as in MONAI's DiceLoss


def drawn_classes(drawn: Iterable[Iterable[str]], structures: Sequence[str]) -> Tensor:
    """Tabulate which classes of each case were drawn.

    Args:
        drawn: Names of the drawn structures, per case.
        structures: Names of the classes 1..N.

    Returns:
        bool (B, 1 + N); class 0, background, is never "drawn".
    """
    rows = [set(names) for names in drawn]
    return torch.tensor([[False, *(name in row for name in structures)] for row in rows])


def partial_dice_ce(logits: Tensor, target: Tensor, drawn: Tensor) -> Tensor:
    """Dice plus cross-entropy over the drawn classes of each case.

    With everything drawn this equals MONAI's ``DiceCELoss(softmax=True, to_onehot_y=True, include_background=False,
    batch=True)``. A class that no case of the batch has drawn takes no part.

    Args:
        logits: (B, C, X, Y, Z).
        target: Classes (B, X, Y, Z), uint8; a class that was not drawn counts as background.
        drawn: bool (B, C), as from ``drawn_classes``, on the CPU: a GPU is not waited for.

    Returns:
        Scalar, float32.
    """
    log_p = torch.log_softmax(logits.float(), 1)
    everything, drawn = bool(drawn[:, 1:].all()), drawn.to(logits.device, non_blocking=True)
    truth = torch.where(drawn.gather(1, target.flatten(1).long()).view_as(target), target, 0)
    if not everything:
        log_p = _merge(log_p, drawn)
    entropy = torch.nn.functional.nll_loss(log_p, truth.long())
    return entropy + _dice_loss(log_p, truth, drawn[:, 1:])


def _merge(log_p: Tensor, drawn: Tensor) -> Tensor:
    """Add every class that was not drawn to background; what is left in its own channel is never looked at."""
    spread = drawn.view(*drawn.shape, *[1] * (log_p.ndim - 2))
    rest = torch.logsumexp(log_p.masked_fill(spread, -torch.inf), 1, keepdim=True)
    return torch.cat([rest, log_p[:, 1:]], 1)


def _dice_loss(log_p: Tensor, truth: Tensor, drawn: Tensor) -> Tensor:
    """One minus soft Dice per class over the whole batch, averaged over the classes that some case has drawn."""
    share = drawn.float()
    losses = []
    for index in range(drawn.shape[1]):
        is_class = (truth == index + 1).float()
        p = log_p[:, index + 1].exp()
        overlap = ((p * is_class).flatten(1).sum(1) * share[:, index]).sum()
        size = ((p + is_class).flatten(1).sum(1) * share[:, index]).sum()
        losses.append(1 - (2 * overlap + SMOOTH) / (size + SMOOTH))
    counted = drawn.any(0).float()
    return (torch.stack(losses) * counted).sum() / counted.sum().clamp(min=1)
