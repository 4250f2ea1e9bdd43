"""How many CPU threads a process may take."""

from __future__ import annotations

import threadpoolctl
import torch


def limit_threads(count: int) -> None:
    """Limit this process, for good: PyTorch, and what OpenVINO, NumPy and SciPy start from now on."""
    torch.set_num_threads(count)
    threadpoolctl.threadpool_limits(count)
