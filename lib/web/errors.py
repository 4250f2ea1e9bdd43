"""Every error as ``{"detail", "error", "request_id"}``: what was seen and what was expected, never a stack trace."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from monailabel.interfaces.exception import MONAILabelException
from starlette.exceptions import HTTPException
from starlette.types import Scope

from lib.domain.errors import BusyError, NotLoggedInError, RenalError
from lib.web.context import request_id, route_of

logger = logging.getLogger(__name__)

_UNPROCESSABLE = 422


def install(app: FastAPI) -> None:
    """Answer every kind of error in one shape."""
    app.add_exception_handler(RenalError, _renal)
    app.add_exception_handler(MONAILabelException, _framework)
    app.add_exception_handler(json.JSONDecodeError, _bad_json)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def internal_error(scope: Scope) -> JSONResponse:
    """What a client is told of an error that nothing expected."""
    return _answer(Request(scope), 500, "InternalError", "the server failed; its log has the reason under this id")


async def _renal(request: Request, error: Exception) -> JSONResponse:
    headers = {}
    if isinstance(error, BusyError):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, NotLoggedInError):
        headers["WWW-Authenticate"] = "Bearer"
    status = error.status if isinstance(error, RenalError) else RenalError.status
    return _answer(request, status, type(error).__name__, str(error), headers)


async def _framework(request: Request, error: Exception) -> JSONResponse:
    return _answer(request, 400, "BadRequestError", str(getattr(error, "msg", "the request cannot be carried out")))


async def _bad_json(request: Request, _: Exception) -> JSONResponse:
    return _answer(request, 400, "BadRequestError", "a parameter is not JSON; expected a JSON object")


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Say which parameter is wrong, without what was sent: it may name a patient."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    detail = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in found)
    return _answer(request, _UNPROCESSABLE, "BadRequestError", detail or "the request cannot be understood")


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        return _answer(request, 500, "InternalError", "the server failed")
    return _answer(request, error.status_code, "HttpError", str(error.detail), error.headers)


def _answer(
    request: Request, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    logger.warning("%s %s answered %d %s: %s", request.method, route_of(request.scope), status, kind, detail)
    content = {"detail": detail, "error": kind, "request_id": request_id()}
    return JSONResponse(content, status_code=status, headers=dict(headers or {}))
