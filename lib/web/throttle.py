"""Guessing passwords is slowed down: after a few failures an address, or a name, has to wait."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from cachetools import TTLCache

from lib.domain.errors import BusyError

_MOST_KEYS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many failures are too many.

    Attributes:
        by_address: Whether the client's address is part of the key.
        by_name: Whether the user name is.
    """

    by_address: bool
    by_name: bool
    failures: int
    seconds: int


LIMITS = (
    Limit(by_address=True, by_name=True, failures=5, seconds=60),
    Limit(by_address=True, by_name=False, failures=20, seconds=300),
    Limit(by_address=False, by_name=True, failures=50, seconds=900),
)


class Throttle:
    """Counts failed logins; a success forgets the failures of that name from that address."""

    def __init__(self) -> None:
        self._counts = [(limit, TTLCache[tuple[str, str], int](_MOST_KEYS, ttl=limit.seconds)) for limit in LIMITS]
        self._guard = Lock()

    def check(self, address: str, name: str) -> None:
        """Refuse before a password is looked at.

        Raises:
            BusyError: When there were too many failures.
        """
        with self._guard:
            for limit, counts in self._counts:
                if counts.get(_key(limit, address, name), 0) >= limit.failures:
                    msg = f"too many failed logins; expected at most {limit.failures} in {limit.seconds} s: wait"
                    raise BusyError(msg, retry_after_s=limit.seconds)

    def failed(self, address: str, name: str) -> None:
        """Count a failure."""
        with self._guard:
            for limit, counts in self._counts:
                key = _key(limit, address, name)
                counts[key] = counts.get(key, 0) + 1

    def succeeded(self, address: str, name: str) -> None:
        """Forget the failures of this name from this address."""
        with self._guard:
            for limit, counts in self._counts:
                if limit.by_address and limit.by_name:
                    counts.pop(_key(limit, address, name), None)


def _key(limit: Limit, address: str, name: str) -> tuple[str, str]:
    return address if limit.by_address else "", name if limit.by_name else ""
