"""Several processes train one network, one a GPU: each has patches of its own, and gradients are averaged.

The processes are those that ``torchrun`` starts (``lib.nets.launch`` does that too). What depends on the clock or on a
person is decided by the first of them for all. A process that runs alone is the first of one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


def started() -> bool:
    """Whether torchrun started this process as one of several."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def group(device: torch.device) -> Iterator[None]:
    """Join the other processes: NCCL between GPUs, gloo between CPUs and for what is small."""
    if not started():
        yield
        return
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def agreed(value: float) -> float:
    """What the first process says; every process must ask."""
    if not distributed.is_initialized():
        return value
    said = torch.tensor(float(value), dtype=torch.float64)
    distributed.broadcast(said, 0)
    return float(said)


def gathered(value: T) -> list[T]:
    """What every process says, in their order; every process must ask."""
    if not distributed.is_initialized():
        return [value]
    said: list[T] = [value] * count()
    distributed.all_gather_object(said, value)
    return said


def averaging(network: nn.Module) -> nn.Module:
    """The same network, whose gradients are averaged over the processes."""
    return DistributedDataParallel(network) if distributed.is_initialized() else network
