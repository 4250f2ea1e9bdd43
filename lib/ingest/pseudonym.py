"""Pseudonyms: keyed hashes of identifiers, with the key in a file outside the cohort.

Whoever has the key can compute the pseudonym of a known patient id; without it neither direction is possible. The
same key and centre give the same pseudonyms, so that a patient's next visit joins the first one.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lib.domain.errors import BadKeyError

KEY_BYTES = 32
_HASH_DIGITS = 12
_MOST_DAYS = 3650


@dataclass(frozen=True, slots=True, kw_only=True)
class Pseudonyms:
    """Everything that stands for an identifier; equal patient ids of two centres are two patients."""

    key: bytes = field(repr=False)
    centre: str

    def patient(self, patient_id: str) -> str:
        """Name a patient, e.g. ``P3f09c27ab1de``."""
        return f"P{self._digits('patient', self.centre, patient_id)}"

    def study(self, study_uid: str) -> str:
        """Name a study, e.g. ``E3f09c27ab1de``."""
        return f"E{self._digits('study', study_uid)}"

    def series(self, series_uid: str, part: str = "") -> str:
        """Name a series, or one part of it, e.g. ``S3f09c27ab1de``."""
        return f"S{self._digits('series', series_uid, part)}"

    def reader(self, author: str) -> str:
        """Name a reader, e.g. ``R3f09c27ab1de``."""
        return f"R{self._digits('reader', author)}"

    @property
    def fingerprint(self) -> str:
        """Tells one key from another and nothing else."""
        return self._digits("fingerprint")

    def shift_days(self, patient_id: str) -> int:
        """Days by which all dates of a patient move into the past: 1 to 3650."""
        return 1 + int(self._hash("days", self.centre, patient_id), 16) % _MOST_DAYS

    def _digits(self, *parts: str) -> str:
        return self._hash(*parts)[:_HASH_DIGITS]

    def _hash(self, *parts: str) -> str:
        return hmac.new(self.key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()


@contextmanager
def open_key(path: Path, cohort: Path) -> Iterator[bytes]:
    """Read the key, made on first use, and hold it: one import at a time may use a key.

    Raises:
        BadKeyError: When the file lies in the cohort, is open to others, holds no key, or another import holds it.
    """
    path = path.expanduser()
    if path.resolve().is_relative_to(cohort.resolve()):
        msg = "the key file lies inside the cohort folder; expected a place that is not given away with the images"
        raise BadKeyError(msg)
    _make_key(path)
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = "another import is running with this key; expected one at a time"
            raise BadKeyError(msg) from None
        yield _read_key(file.fileno(), file.read())


def _make_key(path: Path) -> None:
    """Write a new key, whole or not at all; an existing one stays."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(KEY_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        return  # another process was first
    finally:
        draft.unlink()


def _read_key(handle: int, text: bytes) -> bytes:
    if stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
        msg = "the key file can be read by others; expected mode 0600 (chmod 600)"
        raise BadKeyError(msg)
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        msg = f"the key file does not hold a key; expected {2 * KEY_BYTES} hexadecimal digits"
        raise BadKeyError(msg)
    return key
