"""What changes while a network is trained: weights, their average, the optimiser, random numbers and the clock."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lib.domain.errors import BadRequestError
from lib.domain.records import EpochReport
from lib.nets import parallel
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
_LAST_LOOKS = (
    3  # validations that the end of a run takes: the last one, and a mirrored one that tells how far to trust it
)

GENTLE = 5e-4  # peak learning rate of a network that goes on, a quarter of that from nothing (benchmarks/fine_tune.py)

_ENCODER = ("stem.", "core.input_block.", "core.downsamples.")
FREEZABLE: Mapping[str, tuple[str, ...]] = {  # name -> how the names of the weights begin that stay as they are
    "": (),
    "encoder": _ENCODER,
    "encoder and bottleneck": (*_ENCODER, "core.bottleneck."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How long and how to train.

    Attributes:
        minutes: Budget including reading and validation; None to run for ``epochs`` instead.
        epochs: Ignored when ``minutes`` is given.
        learning_rate: Peak, for AdamW.
        device: ``"auto"``, or a torch device.
        threads: CPU threads; None leaves torch's setting.
        validation_cases: At most so many are predicted per validation, evenly spaced among those that there are.
        freeze: Part of the network that stays as it started, a row of FREEZABLE; empty to train all of it.
        rehearsal: Share of the patches, at most, from cases that the starting weights have learned from.
        strength: Of the augmentation.
        checkpoint_s: Seconds between checkpoints, when there is a file for them.
        processes: That train together, one a GPU, each with batches of its own.
        compile: Whether ``torch.compile`` translates the network; None for where it pays, on CUDA.
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
    freeze: str = ""
    rehearsal: float = 0.5
    strength: Strength = STANDARD
    checkpoint_s: float = 60.0
    processes: int = 1
    compile: bool | None = None


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
        freeze(self.network, settings.freeze)
        learning = [weight for weight in self.network.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.AdamW(learning, settings.learning_rate, weight_decay=_WEIGHT_DECAY, fused=True)
        self._uncompiled = parallel.averaging(self.network)
        translated = self.device.type == "cuda" if settings.compile is None else settings.compile
        self._forward = torch.compile(self._uncompiled) if translated else self._uncompiled
        self.cut_randomly, self.vary_randomly = torch.Generator(), torch.Generator(self.device)
        self.first_step = time.monotonic()
        self.batch_size = settings.batch_size
        self.steps, self.validation_s, self.last_validation_s = 0, 0.0, 0.0
        self.reports: list[EpochReport] = []
        self.best: Best | None = None

    def progress(self) -> float:
        """Share of the budget that is used up; 1 ends the run. Every process of the run must ask."""
        if self.settings.minutes is None:
            return self.steps / (self.settings.epochs * self.settings.steps_per_epoch)
        end, now = self._end(self.settings.minutes), time.monotonic()
        return parallel.agreed(1.0 if now >= end else (now - self.first_step) / (end - self.first_step))

    def left_s(self) -> float:
        """Seconds until the budget is used up: by the clock, or at the pace of the steps so far."""
        now = time.monotonic()
        if self.settings.minutes is not None:
            return max(0.0, self._end(self.settings.minutes) - now)
        steps = self.settings.epochs * self.settings.steps_per_epoch
        return (now - self.first_step) * (steps - self.steps) / max(1, self.steps)

    def _end(self, minutes: float) -> float:
        """When a timed run takes its last step, so that the last validation fits into its minutes."""
        return self.started + 60 * minutes - _LAST_LOOKS * self.last_validation_s

    def step(self, cases: Sequence[ReadyCase]) -> Tensor:
        """One optimiser step on one random batch; its loss, still on the device: nothing here waits for a GPU.

        When memory runs out, the batch is halved, once; a network that cannot be translated is trained as it is.
        """
        while True:
            try:
                return self._step(cases)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not self._gave_in(error):
                    raise
            self.optimiser.zero_grad()

    def _gave_in(self, error: Exception) -> bool:
        """Make the next try easier; False when nothing is left to give."""
        if is_out_of_memory(error) and self.batch_size >= max(2, self.settings.batch_size) and parallel.count() == 1:
            self.batch_size //= 2
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            logger.warning("memory ran out; training goes on with batches of %d", self.batch_size)
            return True
        if _is_translation(error) and self._forward is not self._uncompiled:
            self._forward = self._uncompiled
            logger.warning("torch.compile failed (%s); training goes on without", type(error).__name__)
            return True
        return False

    def _seed(self) -> None:
        """Draw this step's random numbers from the run's seed, the step and the process alone: nothing to remember."""
        here = (self.settings.seed, self.steps, parallel.rank())
        cut, vary = np.random.SeedSequence(here).generate_state(2, np.uint64).tolist()
        self.cut_randomly.manual_seed(cut)
        self.vary_randomly.manual_seed(vary)

    def _step(self, cases: Sequence[ReadyCase]) -> Tensor:
        self._seed()
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * schedule(self.progress())
        image, label, drawn = self.batch(cases)
        with mixed_precision(self.device):
            logits = self._forward(image)
        loss = partial_dice_ce(logits, label[:, 0], drawn)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP_NORM)
        self.optimiser.found_inf = (~torch.isfinite(norm)).float()  # type: ignore[attr-defined] # as a GradScaler: skips
        self.optimiser.step()
        self.steps += 1
        self._follow()
        return loss.detach()

    def batch(self, cases: Sequence[ReadyCase]) -> tuple[Tensor, Tensor, Tensor]:
        """Random patches on the device, their classes (B, 1, X, Y, Z), and which classes were drawn (B, C)."""
        plan, device = self.plan, self.device
        cut = cut_batch(cases, plan, self.batch_size, self.cut_randomly)
        image, label = cut.image.to(device, non_blocking=True), cut.label.to(device, non_blocking=True)
        image, label = augment(
            image, label, plan.patch, plan.spacing_mm, self.vary_randomly, self.settings.strength, self.cut_randomly
        )
        return image, label, drawn_classes(cut.drawn, plan.structures)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights; faster at the start."""
        keep = min(_EMA_DECAY, (1 + self.steps) / (10 + self.steps))
        averages, weights = list(self.average.parameters()), list(self.network.parameters())
        get_ema_multi_avg_fn(keep)(averages, weights, 0)  # type: ignore[no-untyped-call]

    def offer(self, scores: Mapping[str, float]) -> None:
        """Keep the averaged weights when they validated no worse than the best so far."""
        now = Best(state=state_of(self.average), dice=scores)
        if self.best is None or now.score >= self.best.score:
            self.best = now


def freeze(network: nn.Module, part: str) -> None:
    """Keep part of a network as it is.

    Args:
        network: Changed in place.
        part: A row of FREEZABLE.

    Raises:
        BadRequestError: When there is no such row.
    """
    if part not in FREEZABLE:
        msg = f"cannot freeze {part!r}; expected one of: {', '.join(map(repr, FREEZABLE))}"
        raise BadRequestError(msg)
    for name, weight in network.named_parameters():
        weight.requires_grad_(not name.startswith(FREEZABLE[part]))


def schedule(progress: float) -> float:
    """Learning rate as a share of its peak: linear warm-up, then a half cosine."""
    if progress < _WARM_UP:
        return max(_FLOOR, progress / _WARM_UP)
    falling = (progress - _WARM_UP) / (1 - _WARM_UP)
    return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, falling)))


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """Copy a network's tensors to the CPU."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in network.state_dict().items()}


def _is_translation(error: Exception) -> bool:
    from torch._dynamo.exc import TorchDynamoException  # slow to import

    return isinstance(error, TorchDynamoException)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch reports the CPU's as a bare RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return type(error) is RuntimeError and "allocate memory" in str(error)
