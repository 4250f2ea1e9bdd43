"""What every route needs: the app behind the server, its limits, its users. And the guard before each route."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import quote

import anyio
from fastapi import Depends, Request
from monailabel.interfaces.app import MONAILabelApp
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.accounts.users import User
from lib.configs.jobs import Jobs
from lib.configs.server import ServerSettings
from lib.domain.errors import ForbiddenError, NotLoggedInError, TooSlowError
from lib.web.admission import Admission
from lib.web.lanes import Lane
from lib.web.metrics import Metrics
from lib.web.series import with_image_ids
from lib.web.sessions import Sessions
from lib.web.table import Lanes, Row, Who
from lib.web.throttle import Throttle
from lib.web.uploads import limited

_MEGABYTE = 1_000_000
_PROXY = "/proxy/"  # its queries are the PACS's own


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Door:
    """One server's parts."""

    app: MONAILabelApp
    settings: ServerSettings
    admission: Admission
    lanes: dict[Lanes, Lane]
    sessions: Sessions
    jobs: Jobs
    metrics: Metrics = field(default_factory=Metrics)
    throttle: Throttle = field(default_factory=Throttle)

    def close(self) -> None:
        """Finish what runs and remove what was uploaded."""
        for lane in self.lanes.values():
            lane.close()
        self.sessions.close()


def _door(request: Request) -> Door:
    found: Door = request.app.state.door
    return found


def _user(request: Request) -> User:
    found: User = request.state.user
    return found


TheDoor = Annotated[Door, Depends(_door)]
TheUser = Annotated[User, Depends(_user)]


class Guard:
    """Stands before one route: who, from where, how many at once, how long."""

    def __init__(self, app: ASGIApp, row: Row, door: Door) -> None:
        self._app, self._row, self._door = app, row, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if self._row.who is Who.CLOSED:
            msg = f"this route is closed: {self._row.why}"
            raise ForbiddenError(msg)
        try:
            self._admit(scope)
        except NotLoggedInError:
            if not _is_page(scope):
                raise
            await RedirectResponse(f"/login?next={_address(scope)}", 303)(scope, receive, send)
            return
        if self._door.app.mirror and not self._row.path.startswith(_PROXY):
            scope = with_image_ids(scope, self._door.app.mirror.image_id)
        if self._row.lane:
            self._door.lanes[self._row.lane].check()
        limit = int(self._door.settings.upload_mb * _MEGABYTE)
        await self._in_time(scope, limited(scope, receive, limit), send)

    def _admit(self, scope: Scope) -> None:
        admission, who = self._door.admission, self._row.who
        if who is Who.PUBLIC or (who is Who.COLLECTOR and admission.is_metrics_collector(scope)):
            return
        user = admission.user(scope)
        scope.setdefault("state", {})["user"] = user
        if who.role and user.role < who.role:
            msg = f"this needs the role {who.role.title}; the user has the role {user.role.title}"
            raise ForbiddenError(msg)

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say that it takes too long; once an answer has begun it may take its time."""
        seconds = self._door.settings.timeout_s
        with anyio.move_on_after(seconds) as limit:

            async def begin(message: Message) -> None:
                limit.deadline = math.inf
                await send(message)

            await self._app(scope, receive, begin)
        if limit.cancelled_caught:
            msg = f"no answer within {seconds:g} s; expected one: the server is busy, or the upload is slow"
            raise TooSlowError(msg)


def _is_page(scope: Scope) -> bool:
    """Whether a person's browser opens a page, rather than a program."""
    return scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", "")


def _address(scope: Scope) -> str:
    """Path and query as one value of another query."""
    query = scope["query_string"].decode("latin-1")
    return quote(f"{scope['path']}{f'?{query}' if query else ''}", safe="/")
