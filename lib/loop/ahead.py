"""Prepare what readers will open next, while nobody waits for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from lib.domain.errors import RenalError

logger = logging.getLogger(__name__)


class AheadOfReaders:
    """One call prepares the next images, one after the other; what cannot be prepared is not tried again."""

    def __init__(self, upcoming: Callable[[], Sequence[str]], prepare: Callable[[str], None]) -> None:
        """Take what decides and what does.

        Args:
            upcoming: Image ids that will be opened next, the nearest first.
            prepare: Makes one image's proposal wait, or finds that it does already; raises RenalError when it cannot.
        """
        self._upcoming, self._prepare = upcoming, prepare
        self._refused: set[str] = set()

    def __call__(self) -> None:
        """Prepare what comes next as things are now."""
        for image_id in self._upcoming():
            if image_id not in self._refused:
                self._try(image_id)

    def _try(self, image_id: str) -> None:
        try:
            self._prepare(image_id)
        except RenalError as error:
            self._refused.add(image_id)  # it would fail again; whoever opens it gets the error
            logger.warning("a next case cannot be prepared: %s: %s", type(error).__name__, error)
