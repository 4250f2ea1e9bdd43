"""Training: labelled cases in, the best weights out, within a budget of minutes or of epochs.

Seeded epochs on the CPU give the same weights again, bit for bit. The averaged (EMA) weights are the ones validated
and returned.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lib.domain.errors import BadRequestError, BadWeightsError
from lib.domain.records import EpochReport, LabelledImage
from lib.imaging.metrics import dice
from lib.nets.augment import STANDARD, Strength, augment
from lib.nets.cases import ReadyCase, cut_batch, read_cases
from lib.nets.losses import drawn_classes, partial_dice_ce
from lib.nets.networks import LoadedWeights, Plan, build_network, mixed_precision, pick_device
from lib.nets.predict import SMALLEST_MASS_MM3, drop_specks
from lib.nets.runtime import torch_runner
from lib.nets.windows import class_probabilities

_WARM_UP = 0.04  # share of the budget in which the learning rate rises
_FLOOR = 0.01  # of the learning rate, at the end
_EMA_DECAY = 0.99
_CLIP_NORM = 5.0
_WEIGHT_DECAY = 1e-2
_VALIDATION_SHARE = 0.12  # of the time, in a run limited by minutes
_FIRST_VALIDATION = 0.2  # of the time: before, there is nothing to choose
_EPOCH_VALIDATIONS = 5  # times validated, in a run limited by epochs


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitResult:
    """A trained state.

    Attributes:
        state: Best validated averaged weights; the final ones when nothing was validated.
        best_dice: Their mean validation Dice per structure; empty when nothing was validated.
        stopped: Whether ``should_stop`` ended the run early.
    """

    state: Mapping[str, Tensor]
    plan: Plan
    reports: tuple[EpochReport, ...]
    best_dice: Mapping[str, float]
    stopped: bool


def fit(
    train: Sequence[LabelledImage],
    validation: Sequence[LabelledImage],
    plan: Plan,
    settings: FitSettings,
    *,
    start_from: LoadedWeights | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FitResult:
    """Train one network.

    Args:
        train: Cases to learn from.
        validation: Cases to choose the best weights by; may be empty.
        plan: The network.
        settings: Budget, seed and device.
        start_from: Weights to continue from; their network must be the plan's.
        on_epoch: Told after every epoch.
        should_stop: Asked before every step.

    Raises:
        NotEnoughLabelsError: When no training case has a drawn structure of the plan.
        BadImageError: When a case cannot be read.
        BadWeightsError: When ``start_from`` does not fit the plan.
        BadRequestError: When the budget is not positive, or memory does not suffice for the batch.
    """
    started = time.monotonic()
    _check_budget(settings)
    with _threads(settings.threads), _memory_errors(plan, settings):
        cases = read_cases(train, plan)
        held_out = read_cases(validation[: settings.validation_cases], plan) if validation else []
        run = _Run(plan, settings, _initial_network(plan, settings, start_from), started)
        return _train(run, cases, held_out, on_epoch, should_stop)


def _check_budget(settings: FitSettings) -> None:
    amount = settings.epochs if settings.minutes is None else settings.minutes
    if amount <= 0 or settings.batch_size < 1 or settings.steps_per_epoch < 1:
        msg = (
            f"minutes {settings.minutes!r}, epochs {settings.epochs!r}, batch {settings.batch_size!r} and "
            f"steps per epoch {settings.steps_per_epoch!r} must be positive"
        )
        raise BadRequestError(msg)


def _initial_network(plan: Plan, settings: FitSettings, start_from: LoadedWeights | None) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = build_network(plan)
    if start_from is None:
        return network
    if start_from.plan.structures != plan.structures:
        msg = f"cannot continue from classes {start_from.plan.structures}; the plan has {plan.structures}"
        raise BadWeightsError(msg)
    try:
        network.load_state_dict(dict(start_from.state))
    except RuntimeError as error:
        msg = f"cannot continue from a network with channels {start_from.plan.channels}; the plan has {plan.channels}"
        raise BadWeightsError(msg) from error
    return network


class _Run:
    """What changes during training: weights, their average, the optimiser, the random numbers, the clock."""

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
        self.steps, self.validation_s, self.last_validation_s = 0, 0.0, 0.0

    def progress(self) -> float:
        """Share of the budget that is used up; 1 ends the run."""
        if self.settings.minutes is None:
            return self.steps / (self.settings.epochs * self.settings.steps_per_epoch)
        end = self.started + 60 * self.settings.minutes - self.last_validation_s
        now = time.monotonic()
        return 1.0 if now >= end else (now - self.first_step) / (end - self.first_step)


def _train(
    run: _Run,
    cases: Sequence[ReadyCase],
    held_out: Sequence[ReadyCase],
    on_epoch: Callable[[EpochReport], None],
    should_stop: Callable[[], bool],
) -> FitResult:
    reports: list[EpochReport] = []
    best: tuple[float, Mapping[str, float], dict[str, Tensor]] | None = None
    stopped = False
    while run.progress() < 1 and not stopped:
        losses, stopped = _epoch(run, cases, should_stop)
        scores = _validate(run, held_out) if held_out and _validation_due(run, len(reports) + 1, stopped) else {}
        if scores and (best is None or _mean(scores.values()) >= best[0]):
            best = (_mean(scores.values()), scores, _state(run.average))
        reports.append(_report(run, len(reports) + 1, losses, scores))
        on_epoch(reports[-1])
    return FitResult(
        state=best[2] if best else _state(run.average),
        plan=run.plan,
        reports=tuple(reports),
        best_dice=best[1] if best else {},
        stopped=stopped,
    )


def _epoch(run: _Run, cases: Sequence[ReadyCase], should_stop: Callable[[], bool]) -> tuple[list[float], bool]:
    """Take the epoch's steps; fewer when time is up or the run is stopped."""
    losses: list[float] = []
    for _ in range(run.settings.steps_per_epoch):
        if should_stop():
            return losses, True
        if run.progress() >= 1:
            break
        losses.append(_step(run, cases))
    return losses, False


def _step(run: _Run, cases: Sequence[ReadyCase]) -> float:
    """One optimiser step on one random batch; its loss."""
    plan, device = run.plan, run.device
    for group in run.optimiser.param_groups:
        group["lr"] = run.settings.learning_rate * schedule(run.progress())
    batch = cut_batch(cases, plan, run.settings.batch_size, run.cut_randomly)
    image, label = batch.image.to(device), batch.label.to(device)
    image, label = augment(image, label, plan.patch, plan.spacing_mm, run.vary_randomly, run.settings.strength)
    with mixed_precision(device):
        logits = run.network(image)
    loss = partial_dice_ce(logits, label[:, 0], drawn_classes(batch.drawn, plan.structures).to(device))
    run.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(run.network.parameters(), _CLIP_NORM)
    if torch.isfinite(norm):
        run.optimiser.step()
    run.steps += 1
    _follow(run)
    return float(loss.detach())


def schedule(progress: float) -> float:
    """Learning rate as a share of its peak: linear warm-up, then a half cosine."""
    if progress < _WARM_UP:
        return max(_FLOOR, progress / _WARM_UP)
    falling = (progress - _WARM_UP) / (1 - _WARM_UP)
    return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, falling)))


@torch.no_grad()
def _follow(run: _Run) -> None:
    """Move the average towards the weights; faster at the start."""
    keep = min(_EMA_DECAY, (1 + run.steps) / (10 + run.steps))
    for average, weight in zip(run.average.parameters(), run.network.parameters(), strict=True):
        average.lerp_(weight, 1 - keep)


def _validation_due(run: _Run, epoch: int, stopped: bool) -> bool:
    if stopped or run.progress() >= 1:
        return True
    if run.settings.minutes is None:
        return epoch % max(1, round(run.settings.epochs / _EPOCH_VALIDATIONS)) == 0
    spent = time.monotonic() - run.first_step
    early = run.progress() < _FIRST_VALIDATION
    return not early and run.validation_s + run.last_validation_s <= _VALIDATION_SHARE * spent


def _validate(run: _Run, cases: Sequence[ReadyCase]) -> dict[str, float]:
    """Mean Dice per drawn structure over whole images, on the working grid; not mirrored, which saves half the time."""
    began = time.monotonic()
    scores: dict[str, list[float]] = {name: [] for name in run.plan.structures}
    for case in cases:
        probabilities = class_probabilities(case.image.float(), torch_runner(run.average), run.plan, mirrored=False)
        winners = drop_specks(probabilities, run.plan, SMALLEST_MASS_MM3).argmax(0).numpy()
        for index, name in enumerate(run.plan.structures, start=1):
            score = dice(winners == index, case.label.numpy() == index) if name in case.drawn else None
            if score is not None:
                scores[name].append(score)
    run.last_validation_s = time.monotonic() - began
    run.validation_s += run.last_validation_s
    return {name: _mean(values) for name, values in scores.items() if values}


def _report(run: _Run, epoch: int, losses: Sequence[float], scores: Mapping[str, float]) -> EpochReport:
    progress = max(run.progress(), 1e-6)
    spent = time.monotonic() - run.first_step
    timed = max(epoch, round(epoch / progress))
    return EpochReport(
        epoch=epoch,
        epochs=run.settings.epochs if run.settings.minutes is None else timed,
        loss=_mean(losses) if losses else math.nan,
        dice=scores,
        eta_s=spent * (1 - progress) / progress,
    )


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in network.state_dict().items()}


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers)


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _memory_errors(plan: Plan, settings: FitSettings) -> Iterator[None]:
    """Say what to change when memory runs out; torch reports the CPU's as a bare RuntimeError."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if type(error) is RuntimeError and "allocate memory" not in str(error):
            raise
        msg = f"not enough memory for batches of {settings.batch_size} patches of {plan.patch}; use a smaller batch"
        raise BadRequestError(msg) from error
