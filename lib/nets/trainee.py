"""What changes while a network is trained: weights, their average, the optimiser, random numbers and the clock."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lib.domain.records import EpochReport
from lib.nets.augment import STANDARD, Strength, augment
from lib.nets.cases import ReadyCase, cut_batch
from lib.nets.losses import drawn_classes, partial_dice_ce
from lib.nets.networks import Plan, mixed_precision, pick_device

logger = logging.getLogger(__name__)

_WARM_UP = 0.04  # share of the budget in which the learning rate rises
_FLOOR = 0.01  # of the learning rate, at the end
_EMA_DECAY = 0.99
_CLIP_NORM = 5.0
_WEIGHT_DECAY = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How long and how to train.

    Attributes:
        minutes: Budget including reading and validation; None to run for ``epochs`` instead.
        epochs: Ignored when ``minutes`` is given.
        learning_rate: Peak, for AdamW.
        device: ``"auto"``, or a torch device.
        threads: CPU threads; None leaves torch's setting.
        validation_cases: At most so many are predicted per validation.
        strength: Of the augmentation.
        checkpoint_s: Seconds between checkpoints, when there is a file for them.
    """

    minutes: float | None = None
    epochs: int = 50
    steps_per_epoch: int = 25
    batch_size: int = 2
    learning_rate: float = 2e-3
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    validation_cases: int = 8
    strength: Strength = STANDARD
    checkpoint_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Best:
    """The averaged weights that validated best so far."""

    state: Mapping[str, Tensor]
    dice: Mapping[str, float]

    @property
    def score(self) -> float:
        """Mean over the structures."""
        return math.fsum(self.dice.values()) / len(self.dice)


class Trainee:
    """One network in training; ``lib.nets.checkpoint`` writes it to a file and brings it back.

    Attributes:
        reports: One for every epoch so far.
        best: None until something was validated.
    """

    def __init__(self, plan: Plan, settings: FitSettings, network: nn.Module, started: float) -> None:
        self.plan, self.settings, self.started = plan, settings, started
        self.device = pick_device(settings.device)
        layout = torch.channels_last_3d if self.device.type == "cuda" else torch.contiguous_format
        self.network = network.to(self.device, memory_format=layout).train()  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=_WEIGHT_DECAY
        )
        self.cut_randomly = torch.Generator().manual_seed(settings.seed)
        self.vary_randomly = torch.Generator(self.device).manual_seed(settings.seed + 1)
        self.first_step = time.monotonic()
        self.batch_size = settings.batch_size
        self.steps, self.validation_s, self.last_validation_s = 0, 0.0, 0.0
        self.reports: list[EpochReport] = []
        self.best: Best | None = None

    def progress(self) -> float:
        """Share of the budget that is used up; 1 ends the run."""
        if self.settings.minutes is None:
            return self.steps / (self.settings.epochs * self.settings.steps_per_epoch)
        end = self.started + 60 * self.settings.minutes - self.last_validation_s
        now = time.monotonic()
        return 1.0 if now >= end else (now - self.first_step) / (end - self.first_step)

    def step(self, cases: Sequence[ReadyCase]) -> float:
        """One optimiser step on one random batch; its loss. When memory runs out, the batch is halved, once."""
        try:
            return self._step(cases)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or self.batch_size < max(2, self.settings.batch_size):
                raise
        self.batch_size //= 2
        self.optimiser.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        logger.warning("memory ran out; training goes on with batches of %d", self.batch_size)
        return self._step(cases)

    def _step(self, cases: Sequence[ReadyCase]) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * schedule(self.progress())
        image, label, drawn = self.batch(cases)
        with mixed_precision(self.device):
            logits = self.network(image)
        loss = partial_dice_ce(logits, label[:, 0], drawn.to(self.device))
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP_NORM)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.steps += 1
        self._follow()
        return float(loss.detach())

    def batch(self, cases: Sequence[ReadyCase]) -> tuple[Tensor, Tensor, Tensor]:
        """Random patches on the device, their classes (B, 1, X, Y, Z), and which classes were drawn (B, C)."""
        plan = self.plan
        cut = cut_batch(cases, plan, self.batch_size, self.cut_randomly)
        image, label = cut.image.to(self.device), cut.label.to(self.device)
        image, label = augment(image, label, plan.patch, plan.spacing_mm, self.vary_randomly, self.settings.strength)
        return image, label, drawn_classes(cut.drawn, plan.structures)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights; faster at the start."""
        keep = min(_EMA_DECAY, (1 + self.steps) / (10 + self.steps))
        for average, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
            average.lerp_(weight, 1 - keep)

    def offer(self, scores: Mapping[str, float]) -> None:
        """Keep the averaged weights when they validated no worse than the best so far."""
        now = Best(state=state_of(self.average), dice=scores)
        if self.best is None or now.score >= self.best.score:
            self.best = now


def schedule(progress: float) -> float:
    """Learning rate as a share of its peak: linear warm-up, then a half cosine."""
    if progress < _WARM_UP:
        return max(_FLOOR, progress / _WARM_UP)
    falling = (progress - _WARM_UP) / (1 - _WARM_UP)
    return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, falling)))


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """Copy a network's tensors to the CPU."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in network.state_dict().items()}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch reports the CPU's as a bare RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return type(error) is RuntimeError and "allocate memory" in str(error)
