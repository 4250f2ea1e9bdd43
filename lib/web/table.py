"""The kinds of rows that the table of routes is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

from lib.accounts.roles import Role


class Who(Enum):
    """Who may use a route."""

    PUBLIC = "anyone"
    COLLECTOR = "an admin, or the collector of metrics"
    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    ADMIN = "admin"
    CLOSED = "nobody"

    @property
    def role(self) -> Role | None:
        """The least role that may; None where a role does not decide."""
        return _ROLES.get(self)


_ROLES = {
    Who.COLLECTOR: Role.ADMIN,
    Who.ANNOTATOR: Role.ANNOTATOR,
    Who.REVIEWER: Role.REVIEWER,
    Who.ADMIN: Role.ADMIN,
}


class Lanes(StrEnum):
    """Where long jobs run."""

    INFER = "infer"
    EXPORT = "export"
    LOGIN = "login"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One route.

    Attributes:
        endpoint: What answers; None where the route is closed, or another part of the framework answers.
        why: Reason, where it is closed.
        lane: Checked for room before a body is read.
        in_schema: Whether the API description shows it.
    """

    method: str
    path: str
    who: Who
    endpoint: Callable[..., Any] | None = None
    why: str = ""
    lane: Lanes | None = None
    in_schema: bool = True
