"""``live/retraining.json``: what the policy decided last about each sequence, and every decision that differed before.

``read_decisions(live)`` is what a page of decisions reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from lib.domain.records import RetrainDecision
from lib.imaging.volume import write_bytes

DECISIONS = "retraining.json"
_KEPT = 500  # of the decisions before
_FIGURES = re.compile(r"\d+([.:]\d+)?")


def keep_decisions(live: Path, decisions: Sequence[RetrainDecision], now: datetime) -> None:
    """Keep what was decided; a decision that differs from the last one in more than its figures joins the history."""
    before = read_decisions(live)
    at = now.isoformat(timespec="seconds")
    last = {one["sequence"]: one for one in before["decisions"]}
    made = [asdict(one) for one in decisions]
    changed = [{"at": at, **one} for one in made if _gist(one) != _gist(last.get(one["sequence"], {}))]
    content = {"at": at, "decisions": made, "history": [*before["history"], *changed][-_KEPT:]}
    write_bytes(json.dumps(content, indent=1).encode(), live / DECISIONS)


def read_decisions(live: Path) -> dict[str, Any]:
    """Read ``at``, ``decisions`` (the queue's order) and ``history`` (oldest first); empty when nothing was decided."""
    try:
        found = json.loads((live / DECISIONS).read_bytes())
        return {
            "at": str(found["at"]),
            "decisions": list(found["decisions"]),
            "history": list(found.get("history", ())),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {"at": "", "decisions": [], "history": []}


def _gist(decision: Mapping[str, Any]) -> tuple[object, str]:
    """A decision without its figures: a count that grew, or an hour that passed, is no other decision."""
    return decision.get("go"), _FIGURES.sub("#", str(decision.get("reason")))
