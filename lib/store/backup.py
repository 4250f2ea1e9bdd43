"""One file that holds an installation: made while the server runs, checked file by file before anything is put back.

A backup is a tar archive with ``<part>/<path>`` for each file of each part and ``manifest.json``, which lists them with
SHA-256 and time of modification. What it holds is what a crash at that moment would have left: the label index is a
snapshot taken first, the files that others point to come after what points to them, and those are only ever added.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from lib.domain.errors import BadBackupError

MANIFEST = "manifest.json"
_FORMAT = 1
_CHUNK = 1 << 20
_PRIVATE = 0o600  # it holds hashes of passwords
_TEMPORARY = (".part", ".lock", "-wal", "-shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A folder that is backed up.

    Attributes:
        name: Under which the archive keeps it.
        folder: Where it lies; a folder that does not exist has no files.
        wanted: Tells by the path within the folder whether a file belongs to it.
        database: SQLite file within the folder that others may be writing; empty for none.
    """

    name: str
    folder: Path
    wanted: Callable[[str], bool] = lambda _: True
    database: str = ""


def write_backup(parts: Sequence[Part], to: Path) -> dict[str, int]:
    """Write every part to one archive, which appears complete or not at all.

    Args:
        parts: What to keep.
        to: The archive; must not exist.

    Returns:
        Number of files per part.

    Raises:
        BadBackupError: When the archive exists already.
        OSError: When a file cannot be read, or the archive not be written.
    """
    if to.exists():
        msg = "the backup file exists already; expected a new name, so that no earlier backup is lost"
        raise BadBackupError(msg)
    to.parent.mkdir(parents=True, exist_ok=True)
    listed: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=".backup-") as temporary:
        part_file = Path(temporary) / to.name
        part_file.touch(_PRIVATE)
        with tarfile.open(part_file, "w") as archive:
            for part in parts:
                listed |= _add(archive, part, Path(temporary))
            _add_manifest(archive, listed)
        with part_file.open("rb") as done:
            os.fsync(done.fileno())
        part_file.rename(to)
    return {part.name: sum(name.startswith(f"{part.name}/") for name in listed) for part in parts}


def _add(archive: tarfile.TarFile, part: Part, temporary: Path) -> dict[str, dict[str, Any]]:
    """Add a part's files, the database first, then from the top folder down: what points comes before its targets."""
    listed = {}
    database = part.folder / part.database
    if part.database and database.is_file():
        snapshot = temporary / "snapshot.sqlite"
        _snapshot(database, snapshot)
        listed[f"{part.name}/{part.database}"] = _add_file(archive, snapshot, f"{part.name}/{part.database}")
        snapshot.unlink()
    for path in sorted(part.folder.rglob("*"), key=lambda path: (len(path.parts), path.name)):
        within = path.relative_to(part.folder).as_posix()
        if within == part.database or within.endswith(_TEMPORARY) or path.is_symlink() or not part.wanted(within):
            continue
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # pruned, or replaced, a moment ago
            listed[f"{part.name}/{within}"] = _add_file(archive, path, f"{part.name}/{within}")
    return listed


def _snapshot(database: Path, to: Path) -> None:
    """Copy a database as it is at one moment, whoever is writing it."""
    with (
        contextlib.closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as source,
        contextlib.closing(sqlite3.connect(to)) as copy,
    ):
        source.backup(copy)


def _add_file(archive: tarfile.TarFile, path: Path, name: str) -> dict[str, Any]:
    """Add a file as long as it is now; one that grows meanwhile is cut where it was."""
    with path.open("rb") as file:
        seen = os.fstat(file.fileno())
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = seen.st_size, int(seen.st_mtime), seen.st_mode & 0o777
        reader = _Hashing(file)
        archive.addfile(member, reader)
    return {"sha256": reader.digest.hexdigest(), "modified_ns": seen.st_mtime_ns}


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self.digest.update(chunk)
        return chunk


def _add_manifest(archive: tarfile.TarFile, listed: Mapping[str, Any]) -> None:
    content = {"format": _FORMAT, "made": datetime.now(UTC).isoformat(timespec="seconds"), "files": listed}
    payload = json.dumps(content, indent=1).encode()
    member = tarfile.TarInfo(MANIFEST)
    member.size = len(payload)
    archive.addfile(member, io.BytesIO(payload))


def restore_backup(file: Path, into: Mapping[str, Path]) -> dict[str, int]:
    """Put the parts of an archive back; nothing appears before every file was found sound.

    Args:
        file: What ``write_backup`` wrote.
        into: Folder of each part by name; it must not exist, or be empty. Other parts are left out.

    Returns:
        Number of files per part.

    Raises:
        BadBackupError: When a folder holds something, or the archive is no backup, or damaged.
        OSError: When a file cannot be written.
    """
    for name, folder in into.items():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            msg = f"the folder for {name!r} holds something already; expected an empty or a new one"
            raise BadBackupError(msg)
    with _opened(file) as archive, contextlib.ExitStack() as cleaning:
        listed = _manifest(archive)
        staged = {name: _staging(folder, cleaning) for name, folder in into.items()}
        counts = dict.fromkeys(into, 0)
        for path, facts in listed.items():
            name, _, within = path.partition("/")
            if name in staged:
                _extract(archive, path, facts, staged[name] / within)
                counts[name] += 1
        for name, folder in into.items():
            if folder.exists():
                folder.rmdir()
            staged[name].rename(folder)
    return counts


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, "r:") as archive:
            yield archive
    except tarfile.TarError as error:
        msg = "the file is not a backup, or damaged; expected what the command backup wrote"
        raise BadBackupError(msg) from error


def _manifest(archive: tarfile.TarFile) -> dict[str, dict[str, Any]]:
    """Read what the archive should hold, and check that no path leaves its part."""
    try:
        found = json.loads(_member(archive, MANIFEST).read())
        files = dict(found["files"])
        known = found["format"] == _FORMAT
    except (ValueError, KeyError, TypeError) as error:
        msg = "the backup has no manifest that can be read; expected what the command backup wrote"
        raise BadBackupError(msg) from error
    if not known:
        msg = f"the backup has format {found['format']!r}; expected {_FORMAT}"
        raise BadBackupError(msg)
    if any(path.startswith("/") or ".." in path.split("/") for path in files):
        msg = "the backup names a file outside of its parts; expected what the command backup wrote"
        raise BadBackupError(msg)
    return files


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        reader = archive.extractfile(name)
    except KeyError:
        reader = None
    if reader is None:
        msg = f"the backup lacks {'its manifest' if name == MANIFEST else 'a file that its manifest lists'}"
        raise BadBackupError(msg)
    return reader


def _staging(folder: Path, cleaning: contextlib.ExitStack) -> Path:
    """A folder beside the final one, on the same disk; removed unless it was renamed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    cleaning.callback(shutil.rmtree, staged, ignore_errors=True)
    staged.chmod(0o755)
    return staged


def _extract(archive: tarfile.TarFile, name: str, facts: Mapping[str, Any], to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with _member(archive, name) as reader, to.open("wb") as file:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != facts.get("sha256"):
        msg = "a file of the backup does not have the SHA-256 of its manifest; nothing was restored"
        raise BadBackupError(msg)
    to.chmod(archive.getmember(name).mode & 0o777)
    os.utime(to, ns=(facts["modified_ns"], facts["modified_ns"]))
