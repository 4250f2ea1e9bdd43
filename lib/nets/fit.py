"""Training: labelled cases in, the best weights out, within a budget of minutes or of epochs.

Seeded epochs on the CPU give the same weights again, bit for bit, also when the run was killed and went on. The
averaged (EMA) weights are the ones validated and returned.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from lib.domain.errors import BadRequestError, BadWeightsError
from lib.domain.evidence import MassEvidence, ProposalEvidence
from lib.domain.records import EpochReport, LabelledImage
from lib.imaging.calibration import Scaling
from lib.imaging.metrics import dice
from lib.nets import parallel
from lib.nets.assess import Sample, fit_scalings, take_sample
from lib.nets.cases import ReadyCase, placed, read_cases
from lib.nets.checkpoint import Checkpoint, identity
from lib.nets.launch import in_processes
from lib.nets.networks import LoadedWeights, Plan, build_network, network_with, pick_device
from lib.nets.predict import SMALLEST_MASS_MM3, drop_specks
from lib.nets.runtime import torch_runner
from lib.nets.trainee import FitSettings, Trainee, is_out_of_memory, state_of
from lib.nets.windows import class_probabilities

_VALIDATION_SHARE = 0.12  # of the time, in a run limited by minutes
_FIRST_VALIDATION = 0.2  # of the time: before, there is nothing to choose
_EPOCH_VALIDATIONS = 5  # times validated, in a run limited by epochs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitResult:
    """A trained state.

    Attributes:
        state: Best validated averaged weights; the final ones when nothing was validated.
        best_dice: Their mean validation Dice per structure; empty when nothing was validated.
        samples: What the state says of the validation cases, beside the truth.
        scalings: Under which its probabilities come true there.
        stopped: Whether ``should_stop`` ended the run early.
    """

    state: Mapping[str, Tensor]
    plan: Plan
    reports: tuple[EpochReport, ...]
    best_dice: Mapping[str, float]
    stopped: bool
    samples: tuple[Sample, ...] = ()
    scalings: Mapping[str, Scaling] = field(default_factory=dict)

    @property
    def judged(self) -> list[tuple[ProposalEvidence, float]]:
        """Evidence and mass Dice of the validation cases whose masses were drawn."""
        return [(sample.evidence(self.scalings), sample.dice) for sample in self.samples if sample.has_mass]

    @property
    def judged_masses(self) -> list[tuple[MassEvidence, float]]:
        """Evidence of each mass proposed there, with the share of it that is right."""
        return [row for sample in self.samples if sample.has_mass for row in sample.masses(self.scalings)]


def fit(
    train: Sequence[LabelledImage],
    validation: Sequence[LabelledImage],
    plan: Plan,
    settings: FitSettings,
    *,
    start_from: LoadedWeights | None = None,
    checkpoint: Path | None = None,
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
        checkpoint: Written now and then; a run that finds its own there goes on from it. Removed when done.
        on_epoch: Told after every epoch.
        should_stop: Asked before every step.

    Raises:
        NotEnoughLabelsError: When no training case has a drawn structure of the plan.
        BadImageError: When a case cannot be read.
        BadWeightsError: When ``start_from`` does not fit the plan.
        BadRequestError: When the budget is not positive, memory does not suffice for the batch, or there are fewer
            GPUs than processes.
        WorkerError: When one of several processes was lost; the checkpoint stays.
    """
    started = time.monotonic()
    _check_budget(settings)
    if settings.processes > 1 and not parallel.started():
        return _launched(train, validation, plan, settings, start_from, checkpoint, on_epoch, should_stop)
    device = pick_device(settings.device)
    with _threads(settings.threads), _memory_errors(plan, settings), parallel.group(device), _quick_convolutions():
        cases = placed(read_cases(train, plan), device)
        held_out = read_cases(spread(validation, settings.validation_cases), plan) if validation else []
        run = Trainee(plan, settings, _initial_network(plan, settings, start_from), started)
        kept = Checkpoint(checkpoint, identity(plan, settings, train)) if checkpoint else None
        if kept:
            kept.resume(run)
        return _assessed(_train(run, cases, held_out, on_epoch, should_stop, kept), held_out, device)


def spread(cases: Sequence[LabelledImage], most: int) -> list[LabelledImage]:
    """At most so many, evenly spaced: of a list by sequence, or by centre, the first ones would be all of one kind."""
    return [cases[place * len(cases) // most] for place in range(most)] if len(cases) > most else list(cases)


def _launched(
    train: Sequence[LabelledImage],
    validation: Sequence[LabelledImage],
    plan: Plan,
    settings: FitSettings,
    start_from: LoadedWeights | None,
    checkpoint: Path | None,
    on_epoch: Callable[[EpochReport], None],
    should_stop: Callable[[], bool],
) -> FitResult:
    """Fit, in as many processes as the settings say."""
    gpus = torch.cuda.device_count()
    if pick_device(settings.device).type == "cuda" and settings.processes > gpus:
        msg = f"{settings.processes} processes are to train, one a GPU; this machine has {gpus}"
        raise BadRequestError(msg)
    threads = max(1, (settings.threads or torch.get_num_threads()) // settings.processes)
    shared = replace(settings, threads=threads)
    job = partial(fit, train, validation, plan, shared, start_from=start_from, checkpoint=checkpoint)
    return in_processes(settings.processes, threads, job, on_epoch, should_stop)


def _check_budget(settings: FitSettings) -> None:
    amount = settings.epochs if settings.minutes is None else settings.minutes
    if amount <= 0 or min(settings.batch_size, settings.steps_per_epoch, settings.processes) < 1:
        msg = (
            f"minutes {settings.minutes!r}, epochs {settings.epochs!r}, batch {settings.batch_size!r}, "
            f"steps per epoch {settings.steps_per_epoch!r} and processes {settings.processes!r} must be positive"
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


def _train(
    run: Trainee,
    cases: Sequence[ReadyCase],
    held_out: Sequence[ReadyCase],
    on_epoch: Callable[[EpochReport], None],
    should_stop: Callable[[], bool],
    checkpoint: Checkpoint | None,
) -> FitResult:
    stopped = False
    while run.progress() < 1 and not stopped:
        losses, stopped = _epoch(run, cases, should_stop)
        due = held_out and _validation_due(run, len(run.reports) + 1, stopped)
        scores = _validate(run, held_out) if due else {}
        if scores:
            run.offer(scores)
        run.reports.append(_report(run, len(run.reports) + 1, losses, scores))
        if checkpoint:
            checkpoint.keep(run)
        on_epoch(run.reports[-1])
    if checkpoint and not stopped:
        checkpoint.remove()
    return FitResult(
        state=run.best.state if run.best else state_of(run.average),
        plan=run.plan,
        reports=tuple(run.reports),
        best_dice=run.best.dice if run.best else {},
        stopped=stopped,
    )


def _assessed(result: FitResult, held_out: Sequence[ReadyCase], device: torch.device) -> FitResult:
    """Look once more at the validation cases, as a proposal would: how far can the final state be trusted?"""
    if not held_out:
        return result
    network = network_with(LoadedWeights(plan=result.plan, state=result.state)).eval().to(device)
    samples = tuple(take_sample(case, torch_runner(network), result.plan, SMALLEST_MASS_MM3) for case in held_out)
    return replace(result, samples=samples, scalings=fit_scalings(samples))


def _epoch(run: Trainee, cases: Sequence[ReadyCase], should_stop: Callable[[], bool]) -> tuple[list[Tensor], bool]:
    """Take the epoch's steps; fewer when time is up or the run is stopped."""
    losses: list[Tensor] = []
    for _ in range(run.settings.steps_per_epoch):
        if parallel.agreed(should_stop()):
            return losses, True
        if run.progress() >= 1:
            break
        losses.append(run.step(cases))
    return losses, False


def _validation_due(run: Trainee, epoch: int, stopped: bool) -> bool:
    if stopped or run.progress() >= 1:
        return True
    if run.settings.minutes is None:
        return epoch % max(1, round(run.settings.epochs / _EPOCH_VALIDATIONS)) == 0
    spent = time.monotonic() - run.first_step
    early = run.progress() < _FIRST_VALIDATION
    due = not early and run.validation_s + run.last_validation_s <= _VALIDATION_SHARE * spent
    return bool(parallel.agreed(due))


def _validate(run: Trainee, cases: Sequence[ReadyCase]) -> dict[str, float]:
    """Mean Dice per drawn structure over whole images, on the working grid; not mirrored, which saves half the time.

    Several processes share the cases.
    """
    began = time.monotonic()
    scores: dict[str, list[float]] = {name: [] for name in run.plan.structures}
    for case in cases[parallel.rank() :: parallel.count()]:
        probabilities = class_probabilities(case.image.float(), torch_runner(run.average), run.plan, mirrored=False)
        winners = drop_specks(probabilities, run.plan, SMALLEST_MASS_MM3).argmax(0).numpy()
        for index, name in enumerate(run.plan.structures, start=1):
            score = dice(winners == index, case.label.numpy() == index) if name in case.drawn else None
            if score is not None:
                scores[name].append(score)
    run.last_validation_s = time.monotonic() - began
    run.validation_s += run.last_validation_s
    everyones = parallel.gathered(scores)
    merged = {name: [value for some in everyones for value in some[name]] for name in scores}
    return {name: _mean(values) for name, values in merged.items() if values}


def _report(run: Trainee, epoch: int, losses: Sequence[Tensor], scores: Mapping[str, float]) -> EpochReport:
    progress = max(run.progress(), 1e-6)
    timed = max(epoch, round(epoch / progress))
    return EpochReport(
        epoch=epoch,
        epochs=run.settings.epochs if run.settings.minutes is None else timed,
        loss=_mean(torch.stack(list(losses)).tolist()) if losses else math.nan,
        dice=scores,
        eta_s=run.left_s(),
    )


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


def _quick_convolutions() -> contextlib.AbstractContextManager[None]:
    """On a GPU, let cuDNN choose its algorithms by trial: every patch has the same shape."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=True)


@contextlib.contextmanager
def _memory_errors(plan: Plan, settings: FitSettings) -> Iterator[None]:
    """Say what to change when memory runs out."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        msg = f"not enough memory for batches of {settings.batch_size} patches of {plan.patch}; use a smaller batch"
        raise BadRequestError(msg) from error
