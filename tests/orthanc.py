"""A real Orthanc on loopback for tests that need a PACS."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
import requests
from pydicom.dataset import Dataset

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PROGRAM = shutil.which("Orthanc")
needs_orthanc = pytest.mark.skipif(
    PROGRAM is None or not PLUGIN.is_file(), reason="Orthanc is not installed (Debian: orthanc, orthanc-dicomweb)"
)
START_S = 60.0


@dataclass(kw_only=True)
class Orthanc:
    """One that can be stopped and started again; what it holds stays."""

    folder: Path
    port: int
    users: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.root}/dicom-web"

    @property
    def auth(self) -> tuple[str, str] | None:
        return next(iter(self.users.items()), None)

    def start(self) -> None:
        settings = {
            "StorageDirectory": str(self.folder / "db"),
            "IndexDirectory": str(self.folder / "db"),
            "HttpPort": self.port,
            "RemoteAccessAllowed": False,
            "DicomServerEnabled": False,
            "AuthenticationEnabled": bool(self.users),
            "RegisteredUsers": self.users,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        self.folder.mkdir(exist_ok=True)
        (self.folder / "orthanc.json").write_text(json.dumps(settings))
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen([PROGRAM, self.folder / "orthanc.json"], stdout=log, stderr=log)
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{self.root}/system", auth=self.auth, timeout=5).ok:
                    return
            time.sleep(0.1)
        pytest.fail(f"Orthanc did not start:\n{(self.folder / 'orthanc.log').read_text()[-2000:]}")

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            self.process.kill()
            self.process.wait()
            self.process = None

    def keep(self, datasets: Iterable[Dataset]) -> None:
        for dataset in datasets:
            file = BytesIO()
            dataset.save_as(file, write_like_original=False)
            requests.post(f"{self.root}/instances", file.getvalue(), auth=self.auth, timeout=30).raise_for_status()

    def list(self, modality: str) -> list[dict]:
        query = {"Modality": modality, "includefield": "NumberOfSeriesRelatedInstances"}
        return requests.get(f"{self.url}/series", query, auth=self.auth, timeout=30).json()


@contextlib.contextmanager
def orthanc(folder: Path, **users: str) -> Iterator[Orthanc]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = Orthanc(folder=folder, port=port, users=users)
    found.start()
    try:
        yield found
    finally:
        if found.process:
            found.process.kill()  # nothing of it is needed any more
            found.process.wait()
