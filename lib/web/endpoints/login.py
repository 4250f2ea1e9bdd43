"""Log in: ``/auth`` as MONAI Label's clients speak it (3D Slicer among them), ``/login`` for a browser."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from lib.accounts.tokens import Purpose
from lib.accounts.users import LONGEST_PASSWORD, Account
from lib.domain.errors import NotLoggedInError
from lib.web import pages, viewer
from lib.web.admission import COOKIE, check_own_page, cookie_of
from lib.web.door import Door, TheDoor, TheUser
from lib.web.table import Lanes

_LONGEST_NAME = 64
_HOME = "/"
Name = Annotated[str, Form(max_length=_LONGEST_NAME)]
Password = Annotated[str, Form(max_length=LONGEST_PASSWORD)]
Field = Annotated[str, Form()]


def enabled(door: TheDoor) -> dict[str, Any]:
    """Tell a client whether it has to log in."""
    return {"enabled": door.admission.login_required, "client_id": "renal-loop", "realm": ""}


async def token(
    request: Request, door: TheDoor, username: Name, password: Password, grant_type: Field = "password"
) -> JSONResponse:
    """Log in a client: a token for its ``Authorization`` header."""
    del grant_type  # a client sends it; there is only one
    if not door.admission.login_required:
        return JSONResponse({"access_token": None, "token_type": None})
    account = await _account(request, door, username, password)
    issued = door.admission.tokens.issue(account, Purpose.CLIENT)
    content = {"access_token": issued, "token_type": "bearer", "expires_in": int(door.admission.tokens.seconds)}
    return JSONResponse(content, headers={"Cache-Control": "no-store"})


def valid(user: TheUser) -> dict[str, Any]:
    """Tell a client whose token it has."""
    return {"username": user.name, "email": None, "name": user.name, "roles": [user.role.title]}


def page(next: str = _HOME) -> HTMLResponse:  # noqa: A002
    """The page where a person logs in."""
    return pages.login(next_path=_own_path(next))


async def log_in(request: Request, door: TheDoor, username: Name, password: Password, next: Field = _HOME) -> Response:  # noqa: A002
    """Log in a browser: a cookie that scripts cannot read."""
    check_own_page(request.scope, strict=True)
    try:
        account = await _account(request, door, username, password)
    except NotLoggedInError as error:
        return pages.login(next_path=_own_path(next), problem=str(error), status=error.status)
    answer = RedirectResponse(_own_path(next), 303)
    answer.set_cookie(
        COOKIE,
        door.admission.tokens.issue(account, Purpose.BROWSER),
        max_age=int(door.admission.tokens.seconds),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


def log_out(request: Request, door: TheDoor) -> Response:
    """End a browser's login."""
    check_own_page(request.scope, strict=True)
    door.admission.tokens.end(cookie_of(request.scope), Purpose.BROWSER)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return answer


def home(door: TheDoor, user: TheUser) -> HTMLResponse:
    """The first page."""
    installed = viewer.is_installed()
    return pages.home(user, notice="" if installed else viewer.MISSING, labels=installed and bool(door.app.mirror))


async def _account(request: Request, door: Door, name: str, password: str) -> Account:
    """Whose name and password these are; the hash takes its time in a lane of its own.

    Raises:
        NotLoggedInError: When they do not belong together.
        BusyError: When there were too many failures, or there are too many logins at once.
    """
    address = request.client.host if request.client else ""
    door.throttle.check(address, name)
    account = await door.lanes[Lanes.LOGIN].run(partial(door.admission.users.check, name, password))
    door.metrics.login(accepted=account is not None)
    if account is None:
        door.throttle.failed(address, name)
        msg = "user name and password do not belong together"
        raise NotLoggedInError(msg)
    door.throttle.succeeded(address, name)
    return account


def _own_path(path: str) -> str:
    """A path on this server; the first page for anything else: a link must not lead elsewhere after the login."""
    plain = path.startswith("/") and path.isprintable() and "\\" not in path and not path.startswith("//")
    return path if plain else _HOME
