"""Do something again and again beside the server: after a while, or at once when told that something changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from lib.domain.errors import RenalError

logger = logging.getLogger(__name__)


class Repeating(threading.Thread):
    """A daemon thread; what goes wrong in one round is logged, and the next round comes all the same."""

    def __init__(self, name: str, action: Callable[[], None], pause_s: float) -> None:
        """Nothing happens before ``start``.

        Args:
            name: Of the thread, for logs.
            action: One round.
            pause_s: Seconds until the next one, unless told earlier.
        """
        super().__init__(name=name, daemon=True)
        self._action, self._pause_s = action, pause_s
        self._now, self._ended = threading.Event(), False

    def run(self) -> None:
        """Repeat until ``end``."""
        while not self._ended:
            self._now.clear()
            try:
                self._action()
            except (RenalError, OSError) as error:
                said = f": {error}" if isinstance(error, RenalError) else ""
                logger.warning("%s: %s%s; trying again later", self.name, type(error).__name__, said)
            self._now.wait(self._pause_s)

    def soon(self) -> None:
        """Something changed: do not wait for the pause to end."""
        self._now.set()

    def end(self) -> None:
        """Finish the round at hand and return."""
        self._ended = True
        self._now.set()
        if self.is_alive():
            self.join()
