"""Checkpoints of a training run: a killed run goes on from the last one as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lib.domain.records import EpochReport, LabelledImage
from lib.imaging.volume import write_bytes
from lib.nets import parallel
from lib.nets.networks import Plan
from lib.nets.trainee import Best, FitSettings, Trainee, state_of

logger = logging.getLogger(__name__)

_KEY = "renal_loop_checkpoint"


def identity(plan: Plan, settings: FitSettings, train: Sequence[LabelledImage]) -> str:
    """Hash what makes a run: its plan, its settings, and which labels it learns from."""
    cases = [(case.image_id, sorted(case.drawn), case.weight) for case in train]
    return hashlib.sha256(json.dumps([asdict(plan), asdict(settings), cases]).encode()).hexdigest()


class Checkpoint:
    """One run's file: tensors without pickle, complete or absent."""

    def __init__(self, path: Path, run_identity: str) -> None:
        self._path, self._identity = path, run_identity
        self._written = time.monotonic()

    def keep(self, run: Trainee) -> None:
        """Write the run, unless that was done a moment ago; of several processes, the first one does."""
        if parallel.rank() or time.monotonic() - self._written < run.settings.checkpoint_s:
            return
        tensors, header = _pack(run)
        write_bytes(save(tensors, metadata={_KEY: json.dumps({"identity": self._identity, **header})}), self._path)
        self._written = time.monotonic()

    def resume(self, run: Trainee) -> None:
        """Bring the run back to where the file says it was; a file of another run, or a damaged one, is left alone."""
        if not self._path.is_file():
            return
        try:
            with safe_open(self._path, framework="pt") as opened:
                header = json.loads((opened.metadata() or {}).get(_KEY, "{}"))
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
        except (OSError, SafetensorError, ValueError) as error:
            logger.warning(
                "the checkpoint cannot be read (%s); training starts from the beginning", type(error).__name__
            )
            return
        if header.get("identity") != self._identity:
            logger.warning("the checkpoint is of another run; training starts from the beginning")
            return
        _unpack(run, tensors, header)
        logger.info("training goes on after epoch %d", len(run.reports))

    def remove(self) -> None:
        """Forget the run: it is complete."""
        if parallel.rank() == 0:
            self._path.unlink(missing_ok=True)


def _pack(run: Trainee) -> tuple[dict[str, Tensor], dict[str, object]]:
    tensors = {f"network.{name}": tensor for name, tensor in state_of(run.network).items()}
    tensors |= {f"average.{name}": tensor for name, tensor in state_of(run.average).items()}
    tensors |= {f"best.{name}": tensor for name, tensor in (run.best.state if run.best else {}).items()}
    optimiser = run.optimiser.state_dict()
    for index, moments in optimiser["state"].items():
        for name, tensor in moments.items():
            tensors[f"optimiser.{index}.{name}"] = tensor.detach().to("cpu", copy=True).contiguous()
    now = time.monotonic()
    return tensors, {
        "steps": run.steps,
        "batch_size": run.batch_size,
        "elapsed_s": [now - run.started, now - run.first_step],
        "validation_s": [run.validation_s, run.last_validation_s],
        "best": dict(run.best.dice) if run.best else None,
        "reports": [asdict(report) for report in run.reports],
    }


def _unpack(run: Trainee, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    run.network.load_state_dict(_under(tensors, "network."))
    run.average.load_state_dict(_under(tensors, "average."))
    if header["best"] is not None:
        run.best = Best(state=_under(tensors, "best."), dice=dict(header["best"]))
    _fill_optimiser(run.optimiser, _under(tensors, "optimiser."))
    now = time.monotonic()
    run.started, run.first_step = (now - seconds for seconds in header["elapsed_s"])
    run.validation_s, run.last_validation_s = header["validation_s"]
    run.steps, run.batch_size = int(header["steps"]), int(header["batch_size"])
    run.reports = [EpochReport(**report) for report in header["reports"]]


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _fill_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
