"""What clients send: a folder for every request that always goes away, file names that are not trusted, size limits."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fastapi import HTTPException, UploadFile
from filelock import FileLock, Timeout
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from lib.domain.errors import BadImageError, TooLargeError
from lib.imaging.volume import NIFTI_SUFFIXES, read_grid

_ROOT, _ALIVE = "renal-loop", "alive"
_PRIVATE = 0o700
_MILLION = 1_000_000


def limited(scope: Scope, receive: Receive, most: int) -> Receive:
    """Take no more of a body than allowed.

    Args:
        scope: The request.
        receive: Its body, piece by piece.
        most: Bytes.

    Raises:
        TooLargeError: When the request announces more.
    """
    announced = Headers(scope=scope).get("content-length", "")
    msg = f"the body is larger than {most} bytes; expected at most that"
    if announced.isdecimal() and int(announced) > most:
        raise TooLargeError(msg)
    left = most

    async def piece() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(TooLargeError.status, msg)  # the one kind that FastAPI lets through while it reads
        return message

    return piece


class ProcessFolder:
    """A private folder for the temporary files of this process; it removes those that dead processes left.

    Each living one holds a lock in its folder. A second lock keeps two processes from sweeping at once.
    """

    def __init__(self) -> None:
        root = Path(tempfile.gettempdir()) / f"{_ROOT}-{os.getuid()}"
        root.mkdir(mode=_PRIVATE, exist_ok=True)
        if root.is_symlink() or root.stat().st_uid != os.getuid():
            msg = "the folder for temporary files belongs to somebody else"
            raise PermissionError(msg)
        with FileLock(root / "sweeping"):
            for old in root.iterdir():
                if old.is_dir():
                    _remove_dead(old)
            self.path = Path(tempfile.mkdtemp(dir=root))
            self._alive = FileLock(self.path / _ALIVE)
            self._alive.acquire()

    def remove(self) -> None:
        """Remove all files."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._alive.release()


def _remove_dead(folder: Path) -> None:
    try:
        with FileLock(folder / _ALIVE, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
    except Timeout:
        return


class RequestFolder:
    """A folder for the files of one request; ``remove`` it whatever happens."""

    def __init__(self, *, megavoxels: float) -> None:
        self._most_voxels = megavoxels * _MILLION
        self.path = Path(tempfile.mkdtemp(prefix="request-"))

    def remove(self) -> None:
        """Remove all files."""
        shutil.rmtree(self.path, ignore_errors=True)

    def keep(self, upload: UploadFile, name: str) -> Path:
        """Store an uploaded image or label under a name of ours.

        Raises:
            BadImageError: When the name does not end like a NIfTI file's, or the header is not one's.
            TooLargeError: When it has too many voxels.
        """
        path = self.path / f"{name}{_suffix(upload.filename)}"
        with path.open("wb") as file:
            shutil.copyfileobj(upload.file, file)
        voxels = math.prod(read_grid(path).shape)
        if voxels > self._most_voxels:
            msg = f"the file has {voxels} voxels; expected at most {self._most_voxels:g}"
            raise TooLargeError(msg)
        return path


@contextlib.contextmanager
def request_folder(megavoxels: float) -> Iterator[RequestFolder]:
    """A RequestFolder that ends with the block."""
    folder = RequestFolder(megavoxels=megavoxels)
    try:
        yield folder
    finally:
        folder.remove()


def _suffix(filename: str | None) -> str:
    """The suffix that an upload's name claims; the packed one when it has no name."""
    if not filename:
        return NIFTI_SUFFIXES[0]
    for suffix in NIFTI_SUFFIXES:
        if filename.lower().endswith(suffix):
            return suffix
    msg = f"the uploaded file's name does not end in {' or '.join(NIFTI_SUFFIXES)}; expected a NIfTI file"
    raise BadImageError(msg)
