"""What a training run was made of: labels by their hashes, code, settings, environment."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Literal

import monai
import torch

import lib
from lib.domain.records import EpochReport, LabelledImage
from lib.nets.networks import pick_device
from lib.nets.trainee import FitSettings
from lib.registry.versions import LabelUsed, SuspectedLabel, TrainingRun, file_sha256

_SOURCES = Path(lib.__file__).parent


def labels_used(images: Sequence[LabelledImage], side: Literal["train", "validation"]) -> list[LabelUsed]:
    """Name each label by its hash."""
    return [
        LabelUsed(
            image_id=image.image_id,
            side=side,
            sha256=image.label_sha256 or file_sha256(image.label),
            weight=image.weight,
        )
        for image in images
    ]


def training_run(
    *,
    started_from: str,
    weights: Path | None,
    settings: FitSettings,
    minutes: float,
    labels: Sequence[LabelUsed],
    epochs: Sequence[EpochReport],
    suspected: Sequence[SuspectedLabel] = (),
) -> TrainingRun:
    """Put together what is kept of a run.

    Args:
        started_from: Version of the weights it started from.
        weights: Their file; None when it started from nothing.
        settings: Of the fit.
        minutes: That it took.
        labels: That it saw.
        epochs: What it reported.
        suspected: Labels that were held or down-weighted.
    """
    return TrainingRun(
        started_from=started_from,
        started_from_sha256=file_sha256(weights) if weights else "",
        code_version=lib.__version__,
        code_sha256=code_sha256(),
        settings={name: value for name, value in asdict(settings).items() if name != "seed"},
        seed=settings.seed,
        minutes=round(minutes, 3),
        environment=environment(settings.device),
        labels=tuple(labels),
        epochs=tuple(epochs),
        suspected=tuple(suspected),
    )


@cache
def code_sha256() -> str:
    """One hash of every source file: what ran, whether or not it was released."""
    digest = hashlib.sha256()
    for path in sorted(_SOURCES.rglob("*.py")):
        digest.update(path.relative_to(_SOURCES).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def environment(device: str) -> Mapping[str, str]:
    """Versions of what computes, and on what."""
    picked = pick_device(device)
    name = torch.cuda.get_device_name(picked) if picked.type == "cuda" else platform.machine()
    versions = {"python": platform.python_version(), "torch": str(torch.__version__), "monai": monai.__version__}
    return {**versions, "device": f"{picked.type} ({name})"}
