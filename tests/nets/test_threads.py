"""A limited process computes on so many threads, whatever computes."""

import json
import subprocess
import sys
from pathlib import Path

LIMITED = """
import json
import numpy, torch, threadpoolctl
from lib.nets.threads import limit_threads
limit_threads(1)
pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
print(json.dumps([torch.get_num_threads(), *pools]))
"""


def test_torch_and_the_linear_algebra_below_numpy_take_one_thread() -> None:
    run = [sys.executable, "-c", LIMITED]
    counts = json.loads(subprocess.run(run, cwd=Path(__file__).parents[2], capture_output=True, check=True).stdout)
    assert len(counts) > 1
    assert set(counts) == {1}
