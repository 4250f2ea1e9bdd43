"""The MONAI Label tasks, one row of the sequence table each."""

from __future__ import annotations

import os
from collections.abc import Callable

from lib.configs.settings import Settings
from lib.domain.sequences import SEQUENCES
from lib.infers.carried import CarriedOver
from lib.infers.propose import Proposer
from lib.infers.sequence import SequenceInfer
from lib.infers.waiting import WaitingRoom
from lib.nets.trainee import FitSettings
from lib.trainers.sequence import SequenceTrain

AUTO = "segment_auto"


def task_name(code: str) -> str:
    """Name of a sequence's tasks on the wire."""
    return f"segment_{code.lower()}"


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
    """One task per sequence; training leaves half of the CPU's cores to the readers.

    Args:
        settings: Of the installation.
        on_change: Called after a version was added.
    """
    threads = max(1, (os.cpu_count() or 1) // 2)
    fit = FitSettings(minutes=settings.minutes, device=settings.device, threads=threads)
    registry, salt, gate = settings.registry(), settings.salt, settings.gate
    return {
        task_name(code): SequenceTrain(spec, registry, fit, salt, gate, on_change) for code, spec in SEQUENCES.items()
    }
