"""``live/<CODE>/requested.json``: an admin asked for a run; it waits there, through restarts, for the policy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.imaging.volume import write_bytes

_FILE = "requested.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What an admin asked for.

    Attributes:
        at: ISO 8601, UTC.
        options: Of the run, as a client of /train names them.
    """

    code: str
    who: str
    at: str
    options: Mapping[str, Any]


def ask(live: Path, code: str, *, who: str, options: Mapping[str, Any]) -> RunRequest:
    """Ask for a run of a sequence; a request that waits already is replaced."""
    request = RunRequest(code=code, who=who, at=datetime.now(UTC).isoformat(timespec="seconds"), options=dict(options))
    write_bytes(json.dumps(asdict(request)).encode(), live / code / _FILE)
    return request


def waiting(live: Path, code: str) -> RunRequest | None:
    """The request that waits for a sequence; None when there is none, or it cannot be read."""
    try:
        return RunRequest(**json.loads((live / code / _FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def answered(live: Path, code: str) -> None:
    """Forget a request: its run was started."""
    (live / code / _FILE).unlink(missing_ok=True)
