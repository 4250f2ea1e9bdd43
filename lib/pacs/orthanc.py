"""An Orthanc of Debian's packages as a PACS on this machine alone, for the demo and for tests."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from lib.domain.errors import ArchiveError
from lib.imaging.volume import write_bytes

_START_S, _END_S, _AGAIN_S = 60.0, 20.0, 0.2
PACKAGES = ("orthanc", "orthanc-dicomweb")
_PLUGINS = (
    "/usr/share/orthanc/plugins/libOrthancDicomWeb.so",
    "/usr/local/share/orthanc/plugins/libOrthancDicomWeb.so",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """Where the program and its plugin for DICOMweb are."""

    program: Path
    plugin: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What one Orthanc is to be.

    Attributes:
        folder: Of its settings and everything that it holds.
        port: It answers there, and to this machine alone; DICOM's own protocol is off.
        users: Passwords by name; nobody has to log in when there are none.
    """

    folder: Path
    port: int
    users: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def root(self) -> str:
        """Address of its own API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Address of DICOMweb."""
        return f"{self.root}/dicom-web"


def find_orthanc() -> Installed | None:
    """Orthanc with DICOMweb, if it is installed."""
    program = shutil.which("Orthanc")
    plugin = next((Path(path) for path in _PLUGINS if Path(path).is_file()), None)
    return Installed(program=Path(program), plugin=plugin) if program and plugin else None


@contextlib.contextmanager
def running(place: Place) -> Iterator[None]:
    """Run it for as long as the context lasts; what it holds stays in its folder.

    Raises:
        ArchiveError: When it is not installed, its port is taken, or it does not start.
    """
    process = start(place)
    try:
        yield
    finally:
        stop(process)


def start(place: Place) -> subprocess.Popen[bytes]:
    """Start it and wait until it answers; it gets no signal that is meant for this process.

    Raises:
        ArchiveError: As above.
    """
    if _answers(place.port):
        msg = f"something answers on port {place.port} already; expected a free port"
        raise ArchiveError(msg)
    command = _command(place)
    with (place.folder / "orthanc.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603 - as installed
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        if _answers(place.port):
            return process
        time.sleep(_AGAIN_S)
    stop(process)
    msg = f"Orthanc did not start within {_START_S:g} s; orthanc.log in its folder tells why"
    raise ArchiveError(msg)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it, gently if it lets us."""
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    process.kill()
    process.wait()


def put(place: Place, files: Iterable[bytes]) -> int:
    """Put DICOM files into it and count them; what it has already it keeps once.

    Raises:
        ArchiveError: When it does not take one.
    """
    count = 0
    auth = next(iter(place.users.items()), None)
    with httpx.Client(base_url=place.root, auth=auth, trust_env=False, timeout=_START_S) as http:
        for file in files:
            answer = http.post("/instances", content=file)
            if answer.is_error:
                msg = f"the PACS answers {answer.status_code} to a file; expected one that it takes"
                raise ArchiveError(msg)
            count += 1
    return count


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _command(place: Place) -> list[str]:
    """Write the settings and return the command that starts it.

    Raises:
        ArchiveError: When it is not installed.
    """
    installed = find_orthanc()
    if installed is None:
        msg = f"Orthanc is not installed; expected Debian's packages: apt-get install {' '.join(PACKAGES)}"
        raise ArchiveError(msg)
    settings = {
        "StorageDirectory": str(place.folder.absolute() / "db"),
        "IndexDirectory": str(place.folder.absolute() / "db"),
        "HttpPort": place.port,
        "RemoteAccessAllowed": False,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": bool(place.users),
        "RegisteredUsers": dict(place.users),
        "Plugins": [str(installed.plugin)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    path = place.folder / "orthanc.json"
    write_bytes(json.dumps(settings, indent=1).encode(), path, mode=0o600)
    return [str(installed.program), str(path)]
