"""``serve``: MONAI Label's own server, on loopback unless told otherwise."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from lib.configs.settings import APP_FOLDER
from lib.domain.errors import BadCohortError


def serve(
    studies: Annotated[str, typer.Option(help="Cohort folder.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
) -> None:
    """Start the server; it replaces this process, so a signal reaches it directly."""
    if not studies.startswith(("http://", "https://")) and not Path(studies).is_dir():
        msg = "studies is not a folder; expected a cohort folder (the phantom command makes one)"
        raise BadCohortError(msg)
    os.environ["PYTHONUNBUFFERED"] = "1"
    command = ["-m", "monailabel.main", "start_server", "--app", str(APP_FOLDER), "--studies", studies]
    os.execv(sys.executable, [sys.executable, *command, "--host", host, "--port", str(port)])  # noqa: S606
