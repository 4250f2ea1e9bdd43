"""The audit log: ``audit.jsonl``, one JSON object a line, each with the hash of the one before; only ever appended to.

An entry holds ``n, at, who, what, why, about, prev, hash``; ``hash`` is the SHA-256 of the entry without it, as JSON
with sorted keys and no spaces. ``audit.head.json`` says where the log ended last, so that a cut-off end is noticed.
What a crash leaves is never dropped: a torn line stays, and the entry after it says what was found.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from lib.domain.audit import LOG_HEAD_LOST, LOG_REPAIRED, LOG_TRUNCATED, AuditEvent
from lib.domain.errors import StorageError
from lib.imaging.volume import write_bytes

_SELF = "audit log"
_SHOWN = 200  # characters of a torn line that its note repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the log ends.

    Attributes:
        entries: How many there are.
        size: Of the file, in bytes.
        hash: Of the last entry.
    """

    entries: int = 0
    size: int = 0
    hash: str = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """What a verification found.

    Attributes:
        problems: Lines that were changed, removed or inserted; empty when the log can be trusted.
        notes: What crashes left behind, and how it was mended.
        head: Hash of the last entry: kept elsewhere, it proves later that nothing was cut off or rewritten.
    """

    entries: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    head: str


class AuditLog:
    """Any number of processes may append; one lock, no other lock is taken while it is held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "audit.jsonl"
        self._head_file = folder / "audit.head.json"
        self._lock = FileLock(folder / "audit.lock")

    def append(self, events: Sequence[AuditEvent]) -> None:
        """Put events on record; they are on the disk when this returns.

        Raises:
            OSError: When the log cannot be written.
            StorageError: When the head cannot be understood.
        """
        if not events:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            head, payload, notes = self._end()
            for event in (*notes, *events):
                line, head = _entry(event, head)
                payload += line
            self._write(payload)
            self._write_head(replace(head, size=self._size()))

    def entries(self) -> Iterator[dict[str, Any]]:
        """Every entry that can be read, oldest first."""
        for line in self._lines():
            entry = _parsed(line)
            if entry is not None:
                yield entry

    def entries_from(self, start: int) -> tuple[list[dict[str, Any]], int]:
        """Entries that lie whole behind a byte of the file, and the byte behind them: reads each line once.

        Args:
            start: 0, or what the last call returned; a file that became shorter is read from its beginning.
        """
        if not self.file.is_file():
            return [], 0
        with self.file.open("rb") as file:
            file.seek(start if start <= self._size() else 0)
            start = file.tell()
            whole = file.read().rpartition(b"\n")[0]
        found = [entry for line in whole.splitlines() if (entry := _parsed(line))]
        return found, start + len(whole) + 1 if whole else start

    def verify(self, known: str = "") -> AuditCheck:
        """Read every line and recompute every hash.

        Args:
            known: Hash of an entry that was noted elsewhere; it is a problem when the log does not hold it.
        """
        with self._lock if self.folder.is_dir() else nullcontext():
            lines, head = self._lines(), self._read_head()
        walk = _Walk(lines)
        walk.compare(head)
        if known and known not in walk.hashes:
            walk.problems.append(f"no entry has the hash {known[:12]}… that was noted elsewhere")
        return AuditCheck(
            entries=len(walk.hashes), problems=tuple(walk.problems), notes=tuple(walk.notes), head=walk.last
        )

    # ---- inside

    def _lines(self) -> list[bytes]:
        return self.file.read_bytes().splitlines(keepends=True) if self.file.is_file() else []

    def _size(self) -> int:
        return self.file.stat().st_size if self.file.is_file() else 0

    def _end(self) -> tuple[Head, bytes, list[AuditEvent]]:
        """Last good entry, the line break that is missing at the end, and what has to be said about what was found."""
        known = self._read_head()
        head, size = known or Head(), self._size()
        if size == head.size:
            return head, b"", []
        payload = self.file.read_bytes() if size else b""
        notes = []
        if known is None:
            notes.append(AuditEvent(who=_SELF, what=LOG_HEAD_LOST, why="audit.head.json was missing"))
        start = head if size > head.size else Head()
        good, torn = _follow(payload[start.size :], start)
        if size < head.size:
            why = f"the log ended with entry {good.entries}; entry {head.entries} had been written"
            about = {"entries": head.entries, "hash": head.hash}
            notes.append(AuditEvent(who=_SELF, what=LOG_TRUNCATED, why=why, about=about))
        if torn:
            notes.append(_torn_note(torn))
        return good, b"" if payload.endswith(b"\n") or not payload else b"\n", notes

    def _read_head(self) -> Head | None:
        try:
            return Head(**json.loads(self._head_file.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            msg = "audit.head.json cannot be read; expected entries, size and hash as the audit log wrote them"
            raise StorageError(msg) from None

    def _write_head(self, head: Head) -> None:
        write_bytes(json.dumps(asdict(head)).encode(), self._head_file)

    def _write(self, payload: bytes) -> None:
        with self.file.open("ab") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())


class _Walk:
    """One pass over all lines; a break is reported once, where it shows."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.hashes: list[str] = []
        self._torn = b""
        for number, line in enumerate(lines, start=1):
            entry = _parsed(line)
            if entry is None:
                self._torn += line
            else:
                self._see(number, entry)
        if self._torn:
            self.notes.append("the last line is torn, as a crash leaves it; the next entry will say so")

    @property
    def last(self) -> str:
        """Hash of the last entry."""
        return self.hashes[-1] if self.hashes else Head().hash

    def compare(self, head: Head | None) -> None:
        """Hold the end of the log against what was kept apart."""
        count = len(self.hashes)
        if head is None:
            if count:
                self.problems.append("audit.head.json is missing: an end that was cut off would not show")
        elif head.entries > count:
            self.problems.append(f"the log has {count} entries; {head.entries} had been written: its end was cut off")
        elif head.entries and self.hashes[head.entries - 1] != head.hash:
            self.problems.append(f"entry {head.entries} is not the one that was written last")
        elif head.entries < count:
            self.notes.append(f"audit.head.json is {count - head.entries} entries behind, as a crash leaves it")

    def _see(self, number: int, entry: dict[str, Any]) -> None:
        if self._torn:
            self._see_torn(number, entry)
        if entry["prev"] != self.last or entry["n"] != len(self.hashes) + 1:
            self.problems.append(f"line {number} does not follow the one before: a line was removed, inserted or moved")
        if entry["hash"] != _hash(entry):
            self.problems.append(f"line {number} was changed")
        if entry["what"] in (LOG_TRUNCATED, LOG_HEAD_LOST):
            self.problems.append(f"line {number} notes: {entry['why']}")
        self.hashes.append(entry["hash"])

    def _see_torn(self, number: int, entry: dict[str, Any]) -> None:
        said = entry["about"].get("sha256") if entry["what"] == LOG_REPAIRED else None
        if said == _sha256(self._torn):
            self.notes.append(f"line {number} notes: {entry['why']}")
        else:
            self.problems.append(f"line {number - 1} cannot be read, and the entry after it does not say why")
        self._torn = b""


def _entry(event: AuditEvent, head: Head) -> tuple[bytes, Head]:
    entry = {
        "n": head.entries + 1,
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "who": event.who,
        "what": event.what,
        "why": event.why,
        "about": dict(event.about),
        "prev": head.hash,
    }
    entry["hash"] = _hash(entry)
    line = _canonical(entry) + b"\n"
    return line, Head(entries=head.entries + 1, size=head.size + len(line), hash=str(entry["hash"]))


def _follow(payload: bytes, head: Head) -> tuple[Head, bytes]:
    """Go along unbroken entries; return where they end and the bytes behind."""
    rest = payload
    for line in payload.splitlines(keepends=True):
        entry = _parsed(line)
        if entry is None or entry["prev"] != head.hash or entry["hash"] != _hash(entry):
            break
        head = Head(entries=entry["n"], size=head.size + len(line), hash=entry["hash"])
        rest = rest[len(line) :]
    return head, rest


def _torn_note(torn: bytes) -> AuditEvent:
    whole = torn if torn.endswith(b"\n") else torn + b"\n"
    text = torn.decode("ascii", "backslashreplace")
    about = {"bytes": len(torn), "sha256": _sha256(whole), "text": text[:_SHOWN]}
    why = f"{len(torn)} bytes before this line are torn, as a crash leaves them; what they were to say is not known"
    return AuditEvent(who=_SELF, what=LOG_REPAIRED, why=why, about=about)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    names = {"n", "at", "who", "what", "why", "about", "prev", "hash"}
    return entry if isinstance(entry, dict) and set(entry) == names and isinstance(entry["about"], dict) else None


def _hash(entry: dict[str, Any]) -> str:
    return _sha256(_canonical({name: value for name, value in entry.items() if name != "hash"}))


def _canonical(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
