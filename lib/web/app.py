"""Answer errors with what was seen and what was expected, on top of MONAI Label's ASGI application."""

from __future__ import annotations

import json
import logging

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from monailabel.interfaces.exception import MONAILabelException

from lib.domain.errors import RenalError
from lib.web import listing

logger = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Add the error answers to a running application.

    MONAI Label builds its application before ours exists, and Starlette freezes the handlers at the first event;
    dropping the built stack makes it build again, with ours, at the next request.
    """
    listing.install(app)
    app.add_exception_handler(RenalError, _renal_error)
    app.add_exception_handler(MONAILabelException, _framework_error)
    app.add_exception_handler(json.JSONDecodeError, _bad_json)
    app.middleware_stack = None


def _renal_error(request: Request, error: Exception) -> JSONResponse:
    status = error.status if isinstance(error, RenalError) else RenalError.status
    return _answer(request, status, type(error).__name__, str(error))


def _framework_error(request: Request, error: Exception) -> JSONResponse:
    return _answer(request, 400, "BadRequestError", str(getattr(error, "msg", "the request cannot be carried out")))


def _bad_json(request: Request, _: Exception) -> JSONResponse:
    return _answer(request, 400, "BadRequestError", "a parameter is not JSON; expected a JSON object")


def _answer(request: Request, status: int, kind: str, detail: str) -> JSONResponse:
    route = getattr(request.scope.get("route"), "path", "unknown route")  # the pattern: ids and names stay out of logs
    logger.warning("%s %s answered %d %s: %s", request.method, route, status, kind, detail)
    return JSONResponse({"detail": detail, "error": kind}, status_code=status)
