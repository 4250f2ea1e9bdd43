"""Files of a folder or a zip archive, whatever they are called and however deep they lie."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from lib.domain.errors import BadDicomError

_ENCRYPTED = 0x1
_SPARE_BYTES = 512 * 1024 * 1024  # disk that unpacking leaves free


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFiles:
    """Regular files in sorted order, and how many links lead nowhere or back to a folder already seen."""

    paths: tuple[Path, ...]
    dead_links: int


@contextmanager
def open_source(source: Path) -> Iterator[FoundFiles]:
    """List a folder, or unpack a zip archive for as long as the context lasts.

    Raises:
        BadDicomError: When the source is neither, or the archive is damaged, encrypted, does not fit on the disk, or
            has names that lead out of it.
    """
    if source.is_dir():
        yield find_files(source)
        return
    if not source.is_file() or not zipfile.is_zipfile(source):
        msg = "the source is neither a folder nor a zip archive; expected a folder of DICOM files, or one zipped"
        raise BadDicomError(msg)
    with tempfile.TemporaryDirectory(prefix="renal-loop-") as folder:
        _unpack(source, Path(folder))
        yield find_files(Path(folder))


def find_files(folder: Path) -> FoundFiles:
    """Walk a folder through links, each real folder once."""
    seen: set[tuple[int, int]] = set()
    paths: list[Path] = []
    dead_links = 0
    pending = [folder]
    while pending:
        here = pending.pop()
        place = here.stat()
        if (place.st_dev, place.st_ino) in seen:
            dead_links += 1
            continue
        seen.add((place.st_dev, place.st_ino))
        with os.scandir(here) as entries:
            for entry in entries:
                kind = _kind(entry)
                dead_links += kind == "dead"
                if kind == "folder":
                    pending.append(Path(entry.path))
                elif kind == "file":
                    paths.append(Path(entry.path))
    return FoundFiles(paths=tuple(sorted(paths)), dead_links=dead_links)


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        mode = entry.stat().st_mode
    except OSError:  # a link to itself or to nothing
        return "dead"
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack under numbers: no name of the archive reaches the disk."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = sorted((one for one in zipped.infolist() if not one.is_dir()), key=lambda one: one.filename)
            _check_members(members, shutil.disk_usage(folder).free)
            folders: dict[str, Path] = {}
            for number, member in enumerate(members):
                parent = str(PurePosixPath(member.filename).parent)
                target = folders.setdefault(parent, folder / f"{len(folders):06d}")
                target.mkdir(exist_ok=True)
                with zipped.open(member) as packed, (target / f"{number:08d}").open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        msg = f"the zip archive is damaged ({type(error).__name__}); expected one that unzips without error"
        raise BadDicomError(msg) from None


def _check_members(members: list[zipfile.ZipInfo], free_bytes: int) -> None:
    if any(_leads_out(one.filename) for one in members):
        msg = "the zip archive has names that lead out of its folder; expected relative names without '..'"
        raise BadDicomError(msg)
    if any(one.flag_bits & _ENCRYPTED for one in members):
        msg = "the zip archive is encrypted; expected one without a password"
        raise BadDicomError(msg)
    needed = sum(one.file_size for one in members)
    if needed + _SPARE_BYTES > free_bytes:
        msg = f"the zip archive unpacks to {needed} bytes; expected at most the {free_bytes} that the disk has left"
        raise BadDicomError(msg)


def _leads_out(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/"))
    return parts.is_absolute() or ".." in parts.parts or bool(PureWindowsPath(name).drive)
