"""A real Orthanc on loopback for tests that need a PACS."""

import contextlib
import socket
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from lib.pacs.orthanc import PACKAGES, Place, find_orthanc, put, start, stop

needs_orthanc = pytest.mark.skipif(
    find_orthanc() is None, reason=f"Orthanc is not installed (Debian: {', '.join(PACKAGES)})"
)


@dataclass(kw_only=True)
class Orthanc:
    """One that can be stopped and started again; what it holds stays."""

    place: Place
    process: subprocess.Popen | None = None

    @property
    def root(self) -> str:
        return self.place.root

    @property
    def url(self) -> str:
        return self.place.url

    @property
    def auth(self) -> tuple[str, str] | None:
        return next(iter(self.place.users.items()), None)

    def start(self) -> None:
        self.process = start(self.place)

    def stop(self) -> None:
        stop(self.process)
        self.process = None

    def keep(self, datasets: Iterable[Dataset]) -> None:
        put(self.place, map(encoded, datasets))


def encoded(dataset: Dataset) -> bytes:
    file = BytesIO()
    dataset.save_as(file, write_like_original=False)
    return file.getvalue()


@contextlib.contextmanager
def orthanc(folder: Path, **users: str) -> Iterator[Orthanc]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = Orthanc(place=Place(folder=folder, port=port, users=users))
    found.start()
    try:
        yield found
    finally:
        if found.process:
            found.process.kill()  # nothing of it is needed any more
            found.process.wait()
