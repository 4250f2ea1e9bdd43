"""``live/<CODE>/serving.json``: which version serves and which did before. Replacing this one file is going live."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from lib.imaging.volume import write_bytes

logger = logging.getLogger(__name__)

SERVING = "serving.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedVersion:
    """A version, and the SHA-256 that its weight file must have."""

    version: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What serves, and how that came about.

    Attributes:
        previous: What served before; a rollback returns to it.
        changed: ISO 8601, UTC.
        who: The person, or ``gate``.
        reason: Why.
    """

    champion: ServedVersion
    previous: ServedVersion | None
    changed: str
    who: str
    reason: str


def read_serving(folder: Path) -> Serving | None:
    """Read what serves in a sequence's folder; None when nothing there does, or the file cannot be read (and said)."""
    try:
        found = json.loads((folder / SERVING).read_bytes())
        champion, previous = found.pop("champion"), found.pop("previous")
        return Serving(
            **found,
            champion=ServedVersion(**champion),
            previous=ServedVersion(**previous) if previous else None,
        )
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        logger.error("%s of %s cannot be read (%s): it is passed over", SERVING, folder.name, type(error).__name__)  # noqa: TRY400 - the file is at fault, not this code
        return None


def write_serving(serving: Serving, folder: Path) -> None:
    """Let another version serve: one atomic replace."""
    write_bytes(f"{json.dumps(asdict(serving), indent=1)}\n".encode(), folder / SERVING)
