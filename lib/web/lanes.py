"""Long jobs beside the event loop: some at once, some waiting, the rest refused."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from lib.domain.errors import BusyError

T = TypeVar("T")
_FIRST_GUESS_S = 2.0
_WEIGHT = 0.2  # of the newest job in the mean time


class Lane:
    """At most ``workers`` jobs at once and ``queue`` waiting.

    A job whose caller gave up while it waited is never started. One that already runs goes on and keeps its worker:
    a thread cannot be ended from outside, so what is still being computed still counts.
    """

    def __init__(self, name: str, *, workers: int, queue: int) -> None:
        self.workers, self.queue = workers, queue
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._guard = threading.Lock()
        self._jobs = 0
        self._mean_s = _FIRST_GUESS_S

    @property
    def jobs(self) -> int:
        """How many run or wait."""
        return self._jobs

    def check(self) -> None:
        """Refuse before anything is uploaded.

        Raises:
            BusyError: When there is no room.
        """
        if self._jobs >= self.workers + self.queue:
            raise self._busy()

    async def run(self, job: Callable[[], T], *, release: Callable[[], None] | None = None) -> T:
        """Run a job when it is its turn.

        Args:
            job: Runs in a thread.
            release: Called once the job has ended or will never run, whether or not anyone still waits for it.

        Raises:
            BusyError: When there is no room.
        """
        try:
            with self._guard:
                self.check()
                self._jobs += 1
        except BusyError:
            if release:
                release()
            raise
        future = self._pool.submit(copy_context().run, self._timed, job)

        def ended(_: Future[T]) -> None:
            with self._guard:
                self._jobs -= 1
            if release:
                release()

        future.add_done_callback(ended)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Take no more jobs and wait for the running ones."""
        self._pool.shutdown(cancel_futures=True)

    def _timed(self, job: Callable[[], T]) -> T:
        start = time.monotonic()
        try:
            return job()
        finally:
            self._mean_s += _WEIGHT * (time.monotonic() - start - self._mean_s)

    def _busy(self) -> BusyError:
        wait_s = max(1, math.ceil(self._mean_s * (self._jobs - self.queue) / self.workers))
        msg = (
            f"{self._jobs} requests run or wait; expected at most {self.workers + self.queue}: try again in {wait_s} s"
        )
        return BusyError(msg, retry_after_s=wait_s)
