"""``pacs``: a PACS on this machine with a folder of DICOM in it, and the server on it; both end together."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from lib.configs.settings import APP_FOLDER


def pacs(
    dicom: Annotated[Path, typer.Argument(metavar="DICOM_DIR", help="Folder of DICOM that is put into the PACS.")],
    folder: Annotated[Path, typer.Option(help="Where the PACS keeps what it holds.")] = APP_FOLDER / "data" / "orthanc",
    pacs_port: Annotated[int, typer.Option(min=1, max=65535, help="Of the PACS, on loopback.")] = 8043,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the server, on loopback.")] = 8000,
) -> None:
    """Try the server on a PACS: Orthanc on loopback, filled from a folder."""
    from lib.ingest.dicom_files import find_files
    from lib.ingest.dicom_slices import looks_like_dicom
    from lib.pacs.orthanc import Place, put, running

    place = Place(folder=folder, port=pacs_port)
    with running(place):
        count = put(place, (path.read_bytes() for path in find_files(dicom).paths if looks_like_dicom(path)))
        print(f"PACS at {place.url}, {count} files put into it", flush=True)
        command = [sys.executable, str(APP_FOLDER / "main.py"), "serve", "--studies", place.url, "--port", str(port)]
        server = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own command
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda sent, _: server.send_signal(sent))
        raise typer.Exit(server.wait())
