"""Images that a client uploads to ask about, outside any cohort: one plain image each, for an hour, for its owner."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from lib.domain.errors import BusyError, UnknownImageError
from lib.web.uploads import RequestFolder

MOST = 32
_SECONDS_PER_MINUTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One uploaded image.

    Attributes:
        owner: Name of the user; empty where nobody logs in.
        ends: On the monotonic clock.
    """

    id: str
    owner: str
    image: Path
    folder: RequestFolder
    ends: float


class Sessions:
    """Kept in memory; their files go away with them."""

    def __init__(self, *, minutes: float) -> None:
        self._seconds = minutes * _SECONDS_PER_MINUTE
        self._found: dict[str, Session] = {}
        self._guard = Lock()

    def check(self) -> None:
        """Refuse before anything is stored.

        Raises:
            BusyError: When there are too many.
        """
        with self._guard:
            self._sweep()
            if len(self._found) >= MOST:
                msg = f"{MOST} sessions are open; expected fewer: they end {self._seconds:g} s after their last use"
                raise BusyError(msg, retry_after_s=round(self._seconds))

    def add(self, owner: str, image: Path, folder: RequestFolder) -> Session:
        """Keep an image; the folder now belongs to the session."""
        session = Session(
            id=str(uuid.uuid4()), owner=owner, image=image, folder=folder, ends=time.monotonic() + self._seconds
        )
        with self._guard:
            self._found[session.id] = session
        return session

    def get(self, session_id: str, owner: str) -> Session:
        """A user's session, which from now on lasts its whole time again.

        Raises:
            UnknownImageError: When there is none (any more), or it is somebody else's.
        """
        with self._guard:
            self._sweep()
            session = self._found.get(session_id)
            if session is None or session.owner != owner:
                msg = "no session has this id, or it has ended; expected the id that PUT /session/ answered"
                raise UnknownImageError(msg)
            self._found[session_id] = replace(session, ends=time.monotonic() + self._seconds)
            return session

    def remove(self, session_id: str, owner: str) -> None:
        """End a user's session.

        Raises:
            UnknownImageError: When there is none.
        """
        self.get(session_id, owner)
        with self._guard:
            session = self._found.pop(session_id, None)
        if session:
            session.folder.remove()

    def close(self) -> None:
        """End them all."""
        with self._guard:
            for session in self._found.values():
                session.folder.remove()
            self._found.clear()

    def _sweep(self) -> None:
        now = time.monotonic()
        for session in [one for one in self._found.values() if one.ends < now]:
            session.folder.remove()
            del self._found[session.id]
