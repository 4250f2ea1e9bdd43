"""What is known of the request that is being answered."""

from __future__ import annotations

from contextvars import ContextVar

from starlette.types import Scope

UNKNOWN_ROUTE = "unknown route"
current_id: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """Id of the request that is being answered; empty outside of one."""
    return current_id.get()


def route_of(scope: Scope) -> str:
    """The pattern that matched: ids and names stay out of logs and figures."""
    return getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
