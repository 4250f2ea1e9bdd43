"""The MONAI Label tasks, one row of the sequence table each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lib.configs.settings import Settings
from lib.domain.sequences import SEQUENCES
from lib.infers.carried import CarriedOver
from lib.infers.clicks import ClickInfer
from lib.infers.propose import Proposer
from lib.infers.sequence import SequenceInfer
from lib.infers.waiting import WaitingRoom
from lib.nets.trainee import GENTLE, FitSettings
from lib.trainers.sequence import SequenceTrain

AUTO = "segment_auto"
BY_CLICKS = "refine_clicks"


def task_name(code: str) -> str:
    """Name of a sequence's tasks on the wire."""
    return f"segment_{code.lower()}"


def click_task(settings: Settings, proposals: SequenceInfer, newest_label: Callable[[str], Path | None]) -> ClickInfer:
    """The task that corrects labels by clicks.

    Args:
        settings: Of the installation.
        proposals: Makes the proposal that clicks correct.
        newest_label: The reader's newest label of an image id, or None.
    """
    return ClickInfer(settings.models(), proposals, newest_label, settings.device)


def infer_tasks(
    settings: Settings, waiting: WaitingRoom | None = None, carried: WaitingRoom | None = None
) -> dict[str, SequenceInfer]:
    """One task per sequence, behind the one that finds out: 3D Slicer runs the first that fits.

    Args:
        settings: Of the installation.
        waiting: Where proposals wait for their readers; None to make each one when it is asked for.
        carried: Where labels wait that were carried over from another sequence; None to propose by networks alone.
    """
    proposer = Proposer(settings.models(), settings.device)
    by_code = {task_name(code): SequenceInfer(proposer, spec, waiting) for code, spec in SEQUENCES.items()}
    return {AUTO: SequenceInfer(proposer, None, waiting, CarriedOver(carried) if carried else None), **by_code}


def train_tasks(settings: Settings, on_change: Callable[[], None] = lambda: None) -> dict[str, SequenceTrain]:
    """One task per sequence.

    Args:
        settings: Of the installation.
        on_change: Called after a version was added.
    """
    budget = {"minutes": None, "epochs": settings.epochs} if settings.epochs else {"minutes": settings.minutes}
    fit = FitSettings(
        **budget,
        learning_rate=GENTLE,  # a run goes on from the network that serves
        device=settings.device,
        threads=settings.training_threads(),
        processes=settings.processes,
    )
    registry, salt, gate = settings.registry(), settings.salt, settings.gate
    return {
        task_name(code): SequenceTrain(spec, registry, fit, salt, gate, on_change, settings.labels)
        for code, spec in SEQUENCES.items()
    }
