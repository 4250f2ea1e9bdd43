"""Any case that has no label yet, but not the one that somebody was just given."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from lib.store.cohort import FINAL
from lib.store.datastore import CohortDatastore

NAME = "random"
_HELD_S = 30 * 60  # a case that was offered is kept for the person who got it


def choose(offered_s: Mapping[str, float], now_s: float, generator: random.Random) -> str | None:
    """Draw an image; None when there is none.

    Args:
        offered_s: When each candidate was last offered (seconds since 1970; 0 for never), by image id.
        now_s: Now.
        generator: Source of chance.
    """
    free = [image_id for image_id, when in offered_s.items() if now_s - when > _HELD_S]
    candidates = free or list(offered_s)
    return generator.choice(candidates) if candidates else None


class RandomUnlabelled(Strategy):
    """Adapter for choose."""

    def __init__(self) -> None:
        super().__init__("Any case that has no label yet")

    def __call__(self, request: Mapping[str, Any], datastore: CohortDatastore) -> dict[str, Any] | None:
        """Return the chosen image's id; None when every image has a label."""
        known = datastore.store.unlabelled_info(str(request.get("label_tag") or FINAL))
        chosen = choose({image_id: _offered_s(info) for image_id, info in known.items()}, time.time(), random.Random())
        return {"id": chosen} if chosen else None


def _offered_s(info: Mapping[str, Any]) -> float:
    """When any strategy last offered an image, as MONAI Label notes it."""
    noted = info.get("strategy")
    entries = noted.values() if isinstance(noted, Mapping) else ()
    return max((float(entry.get("ts") or 0) for entry in entries if isinstance(entry, Mapping)), default=0.0)
