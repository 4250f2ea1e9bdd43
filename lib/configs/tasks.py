"""The MONAI Label tasks, one row of the sequence table each."""

from __future__ import annotations

from collections.abc import Callable

from lib.configs.settings import Settings
from lib.domain.sequences import SEQUENCES
from lib.infers.propose import Proposer
from lib.infers.sequence import SequenceInfer
from lib.nets.fit import FitSettings
from lib.trainers.sequence import SequenceTrain

AUTO = "segment_auto"


def task_name(code: str) -> str:
    """Name of a sequence's tasks on the wire."""
    return f"segment_{code.lower()}"


def infer_tasks(settings: Settings) -> dict[str, SequenceInfer]:
    """One task per sequence, behind the one that finds out: 3D Slicer runs the first that fits."""
    proposer = Proposer(settings.models(), settings.device)
    by_code = {task_name(code): SequenceInfer(proposer, spec) for code, spec in SEQUENCES.items()}
    return {AUTO: SequenceInfer(proposer), **by_code}


def train_tasks(settings: Settings, on_change: Callable[[], None] = lambda: None) -> dict[str, SequenceTrain]:
    """One task per sequence; ``on_change`` is called after a version was added."""
    fit = FitSettings(minutes=settings.minutes, device=settings.device)
    registry, salt = settings.registry(), settings.salt
    return {task_name(code): SequenceTrain(spec, registry, fit, salt, on_change) for code, spec in SEQUENCES.items()}
