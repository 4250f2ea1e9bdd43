"""Every request gets an id, one line in the log, its figures, and headers that keep a browser safe."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.web.context import current_id, request_id, route_of
from lib.web.errors import internal_error
from lib.web.metrics import Metrics

logger = logging.getLogger("lib.web.requests")

HEADER = "X-Request-ID"
_SAFE_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Tracing:
    """The outermost middleware; also the last to catch an error that nothing else expected."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = _Trace(scope, send)
        token = current_id.set(trace.id)
        try:
            await self._app(scope, receive, trace.send)
        except Exception:  # the outermost door: every error that nothing else expected becomes one answer
            logger.exception("%s %s failed", scope["method"], route_of(scope))
            if trace.status:
                raise
            await internal_error(scope)(scope, receive, trace.send)
        finally:
            self._finish(scope, trace)
            current_id.reset(token)

    def _finish(self, scope: Scope, trace: _Trace) -> None:
        seconds, route = time.perf_counter() - trace.start, route_of(scope)
        self._metrics.answered(scope["method"], route, trace.status, seconds)
        level = logging.DEBUG if route in _QUIET else logging.INFO
        who = getattr(scope.get("state", {}).get("user"), "name", "") or "-"
        logger.log(level, "%s %s %s %d %.0f ms", who, scope["method"], route, trace.status, seconds * 1000)


class _Trace:
    def __init__(self, scope: Scope, send: Send) -> None:
        given = dict(scope["headers"]).get(HEADER.lower().encode(), b"")
        self.id = given.decode() if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex
        self.start = time.perf_counter()
        self.status = 0
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name.lower() for name, _ in message["headers"]}
            added = [pair for pair in _HEADERS if pair[0] not in present]
            message = {**message, "headers": [*message["headers"], *added, (HEADER.lower().encode(), self.id.encode())]}
        await self._send(message)


class _Tagged(logging.Formatter):
    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        found = request_id()
        return f"{f'[{found}] ' if found else ''}{self._inner.format(record)}"


def tag_logs() -> None:
    """Put the request's id before every line that is logged while it is answered."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler.formatter, _Tagged):
            handler.setFormatter(_Tagged(handler.formatter or logging.Formatter()))
