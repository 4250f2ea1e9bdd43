"""What clients send: a folder for every request that always goes away, file names that are not trusted, size limits."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from fastapi import UploadFile

from lib.domain.errors import BadImageError, TooLargeError
from lib.imaging.volume import NIFTI_SUFFIXES, read_grid

_ROOT = "renal-loop"
_PRIVATE = 0o700
_MILLION = 1_000_000


def process_folder() -> Path:
    """A private folder of this process for temporary files, after those of dead processes are removed."""
    root = Path(tempfile.gettempdir()) / f"{_ROOT}-{os.getuid()}"
    root.mkdir(mode=_PRIVATE, exist_ok=True)
    status = root.lstat()
    if status.st_uid != os.getuid() or not root.is_dir() or root.is_symlink():
        msg = "the folder for temporary files belongs to somebody else"
        raise PermissionError(msg)
    for old in root.iterdir():
        if not old.name.isdigit() or not psutil.pid_exists(int(old.name)) or old.name == str(os.getpid()):
            shutil.rmtree(old, ignore_errors=True)
    own = root / str(os.getpid())
    own.mkdir(mode=_PRIVATE)
    return own


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
