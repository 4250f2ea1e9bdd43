"""Prepare what readers will open next, while nobody waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from lib.domain.errors import RenalError

logger = logging.getLogger(__name__)

_LOOK_AGAIN_S = 30.0


class AheadOfReaders(threading.Thread):
    """A daemon that prepares the next images, one at a time, and looks again when told to or after a while."""

    def __init__(
        self,
        upcoming: Callable[[], Sequence[str]],
        prepare: Callable[[str], None],
        *,
        pause_s: float = _LOOK_AGAIN_S,
    ) -> None:
        """Nothing happens before ``start``.

        Args:
            upcoming: Image ids that will be opened next, the nearest first.
            prepare: Makes one image's proposal wait, or finds that it does already; raises RenalError when it cannot.
            pause_s: Seconds until it looks again by itself.
        """
        super().__init__(name="ahead-of-readers", daemon=True)
        self._upcoming, self._prepare, self._pause_s = upcoming, prepare, pause_s
        self._look, self._ended = threading.Event(), False
        self._refused: set[str] = set()

    def run(self) -> None:
        """Prepare until ``end``."""
        while not self._ended:
            self._look.clear()
            self._round()
            self._look.wait(self._pause_s)

    def look(self) -> None:
        """Something changed: a case was opened or submitted, or another model serves."""
        self._look.set()

    def end(self) -> None:
        """Finish the image at hand and return."""
        self._ended = True
        self._look.set()
        if self.is_alive():
            self.join()

    def _round(self) -> None:
        try:
            waiting = [image_id for image_id in self._upcoming() if image_id not in self._refused]
            for image_id in waiting:
                if self._ended:
                    return
                self._try(image_id)
        except RenalError as error:
            logger.warning("the next cases cannot be prepared: %s: %s", type(error).__name__, error)

    def _try(self, image_id: str) -> None:
        try:
            self._prepare(image_id)
        except RenalError as error:
            self._refused.add(image_id)  # it would fail again; whoever opens it gets the error
            logger.warning("a next case cannot be prepared: %s: %s", type(error).__name__, error)
