"""Where weights lie, which file serves, and how another one takes its place in one step.

``shipped/<CODE>.safetensors``        comes with the app, never written
``live/<CODE>/champion.safetensors``  serves instead, once a retrained model has gone live
``live/<CODE>/previous.safetensors``  what served before
``live/<CODE>/stats.json``            the last training run
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lib.domain.errors import UnknownModelError
from lib.imaging.volume import write_bytes

RECOGNISER = "recogniser"
FINDER = "finder"
_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """The weights of one installation.

    Attributes:
        shipped: Folder of the weights that come with the app.
        live: Folder that retraining writes to.
    """

    shipped: Path
    live: Path

    def find(self, code: str) -> Path | None:
        """Return the weight file that serves a sequence, or None: an untrained network is never served."""
        for path in (self._champion(code), self.shipped / f"{code}{_SUFFIX}"):
            if path.is_file():
                return path
        return None

    def champion(self, code: str) -> Path:
        """Return the weight file that serves a sequence.

        Raises:
            UnknownModelError: When there is none yet.
        """
        path = self.find(code)
        if path is None:
            msg = f"there is no trained model for sequence {code!r} yet; label some of its images and train"
            raise UnknownModelError(msg)
        return path

    def candidate(self, code: str, version: str) -> Path:
        """Where a training run writes its result before anyone has judged it."""
        return self.live / code / f"{version}{_SUFFIX}"

    def checkpoint(self, code: str) -> Path:
        """Where a run of a sequence keeps what it needs to go on after a kill."""
        return self.live / code / f"run{_SUFFIX}"

    def publish(self, code: str, candidate: Path) -> None:
        """Let a candidate serve: one atomic replace; what served before is kept as ``previous``."""
        serving = self.find(code)
        if serving is not None:
            write_bytes(serving.read_bytes(), self.live / code / f"previous{_SUFFIX}")
        write_bytes(candidate.read_bytes(), self._champion(code))
        candidate.unlink()

    def write_stats(self, code: str, stats: Mapping[str, object]) -> None:
        """Keep the last run's figures; a number that is not finite would break every reader, so none is kept."""
        write_bytes(json.dumps(_finite(stats)).encode(), self.live / code / "stats.json")

    def stats(self, code: str) -> dict[str, object]:
        """Read the last run's figures; empty when there are none or they cannot be read."""
        try:
            stats = json.loads((self.live / code / "stats.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return stats if isinstance(stats, dict) else {}

    def _champion(self, code: str) -> Path:
        return self.live / code / f"champion{_SUFFIX}"


def stamp(path: Path) -> tuple[int, int, int]:
    """Identify a file's content cheaply: a replaced file differs in inode, time or size."""
    seen = os.stat(path)  # noqa: PTH116 - the same call for str paths from the framework
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
