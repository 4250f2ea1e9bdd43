"""What is done beside the server, in a process of its own: repairs, and showing in MLflow what the files say."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

from lib.configs.settings import APP_FOLDER, ENVIRONMENT_PREFIX, Settings
from lib.registry.mirror import is_in_step

logger = logging.getLogger(__name__)


def sync_soon(settings: Settings) -> None:
    """Start ``models sync``, unless nothing changed; ``sync.log`` keeps what it says, and it may outlive us."""
    if is_in_step(settings.models()):
        return
    given = {"LIVE": settings.live, "SHIPPED": settings.shipped, "KEEP": str(settings.keep)}
    said = settings.models().live / "mlflow" / "sync.log"
    try:
        said.parent.mkdir(parents=True, exist_ok=True)
        with said.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, str(APP_FOLDER / "main.py"), "models", "sync"],
                env={**os.environ, **{ENVIRONMENT_PREFIX + name: value for name, value in given.items()}},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        logger.warning("models sync could not be started (%s): MLflow will show it later", error.strerror)
        return
    threading.Thread(target=process.wait, daemon=True).start()  # so that no ended process is left behind
