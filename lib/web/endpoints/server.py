"""The server itself: what it offers, whether it is well, its figures, its log, its models' files."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from monailabel.config import settings
from monailabel.endpoints import model as framework

from lib.domain.errors import RenalError
from lib.web import viewer as viewer_files
from lib.web.door import Door, TheDoor
from lib.web.metrics import CONTENT_TYPE
from lib.web.table import Lanes

_UNAVAILABLE = 503


def info(door: TheDoor) -> JSONResponse:
    """Read what the server offers."""
    return JSONResponse(door.app.info())


def healthz() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "alive"}


def readyz(door: TheDoor) -> JSONResponse:
    """Tell whether the server can do its work."""
    lane = door.lanes[Lanes.INFER]
    checks = {
        "storage": _storage_answers(door),
        "model": bool(door.app.info()["models"]),
        "room": lane.jobs < lane.workers + lane.queue,
    }
    ready = all(checks.values())
    return JSONResponse({"ready": ready, **checks}, status_code=200 if ready else _UNAVAILABLE)


def _storage_answers(door: Door) -> bool:
    try:
        door.app.datastore().status()
    except RenalError:
        return False
    return True


def metrics(door: TheDoor) -> Response:
    """Read the figures, as Prometheus collects them."""
    return Response(door.metrics.text(), media_type=CONTENT_TYPE)


def logs(lines: Annotated[int, Query(ge=1, le=10_000)] = 300) -> PlainTextResponse:
    """Read the newest lines of the log."""
    path = Path(settings.MONAI_LABEL_APP_DIR) / "logs" / "app.log"
    if not path.is_file():
        return PlainTextResponse("")
    with path.open(encoding="utf-8", errors="replace") as file:
        return PlainTextResponse("".join(deque(file, lines)))


def model_file(model: str) -> FileResponse:
    """Download a model's weights."""
    found: FileResponse = framework.download_model(model)
    return found


def model_info(model: str) -> dict[str, Any]:
    """Read a model file's checksum and age."""
    found: dict[str, Any] = framework.model_info(model)
    return found


def description(request: Request) -> JSONResponse:
    """Describe the API (OpenAPI)."""
    return JSONResponse(request.app.openapi())


def favicon() -> FileResponse:
    """The icon of a browser's tab."""
    return FileResponse(viewer_files.FRAMEWORK / "favicon.ico", media_type="image/x-icon")


def viewer(request: Request, path: str) -> FileResponse:
    """The viewer's files; every path that is not a file is the viewer's own address."""
    return viewer_files.file(request, path)
