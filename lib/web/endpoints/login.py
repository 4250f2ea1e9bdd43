"""Log in: ``/auth`` as MONAI Label's clients speak it (3D Slicer among them), ``/login`` for a browser."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from lib.accounts.provider import ATTEMPT_S, Provider
from lib.accounts.tokens import Purpose
from lib.accounts.users import LONGEST_PASSWORD, Account, User
from lib.domain.errors import NotLoggedInError, ProviderError, RenalError, UnknownProviderError
from lib.web import pages, viewer
from lib.web.admission import COOKIE, check_own_page, cookie_of
from lib.web.door import Door, TheDoor, TheUser
from lib.web.table import Lanes

_LONGEST_NAME = 64
_HOME, _CALLBACK = "/", "/login/oidc/callback"
_ATTEMPT = "renal_attempt"
_UNKEPT = {"Cache-Control": "no-store"}
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
    return JSONResponse(content, headers=_UNKEPT)


def valid(user: TheUser) -> dict[str, Any]:
    """Tell a client whose token it has."""
    return {"username": user.name, "email": None, "name": user.name, "roles": [user.role.title]}


def page(door: TheDoor, next: str = _HOME) -> HTMLResponse:  # noqa: A002
    """The page where a person logs in."""
    return _login_page(door, next)


async def log_in(request: Request, door: TheDoor, username: Name, password: Password, next: Field = _HOME) -> Response:  # noqa: A002
    """Log in a browser: a cookie that scripts cannot read."""
    check_own_page(request.scope, strict=True)
    try:
        account = await _account(request, door, username, password)
    except NotLoggedInError as error:
        return _login_page(door, next, error)
    answer = RedirectResponse(_own_path(next), 303)
    _give(request, answer, COOKIE, door.admission.tokens.issue(account, Purpose.BROWSER), door.admission.tokens.seconds)
    return answer


async def begin_elsewhere(request: Request, door: TheDoor, next: str = _HOME) -> Response:  # noqa: A002
    """Send a browser to the site's own provider of logins (OpenID Connect)."""
    provider = _provider(door)
    answer_to = str(request.url.replace(path=_CALLBACK, query="", fragment=""))
    try:
        address, state = await door.lanes[Lanes.LOGIN].run(partial(provider.begin, answer_to, _own_path(next)))
    except ProviderError as error:
        return _login_page(door, next, error)
    answer = RedirectResponse(address, 303, headers=_UNKEPT)
    _give(request, answer, _ATTEMPT, state, ATTEMPT_S)
    return answer


async def finish_elsewhere(request: Request, door: TheDoor) -> Response:
    """Log in the browser that comes back from the provider."""
    provider, state = _provider(door), request.cookies.get(_ATTEMPT, "")
    try:
        user, path = await door.lanes[Lanes.LOGIN].run(partial(provider.finish, request.url.query, state))
        _check_name(door, user)
    except (NotLoggedInError, ProviderError) as error:
        door.metrics.login(accepted=False)
        return _login_page(door, _HOME, error)
    door.metrics.login(accepted=True)
    answer = RedirectResponse(path, 303, headers=_UNKEPT)
    tokens = door.admission.tokens
    _give(request, answer, COOKIE, tokens.issue_provided(user, Purpose.BROWSER), tokens.seconds)
    answer.delete_cookie(_ATTEMPT, httponly=True, samesite="lax")
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


def _provider(door: Door) -> Provider:
    if door.admission.provider is None:
        msg = "this server has no provider of logins; expected the setting oidc_issuer, or a login at /login"
        raise UnknownProviderError(msg)
    return door.admission.provider


def _check_name(door: Door, user: User) -> None:
    """Refuse a second person of one name: labels name their author.

    Raises:
        NotLoggedInError: When a local user has the name.
    """
    if door.admission.users.account(user.name):
        msg = "a local user has the name that the provider gives you; expected another one"
        raise NotLoggedInError(msg)


def _login_page(door: Door, next_path: str, error: RenalError | None = None) -> HTMLResponse:
    return pages.login(
        next_path=_own_path(next_path),
        problem=str(error or ""),
        status=error.status if error else 200,
        passwords=door.admission.has_users or not door.admission.provider,
        provider=door.admission.provider is not None,
    )


def _give(request: Request, answer: Response, name: str, value: str, seconds: float) -> None:
    """Set a cookie that scripts cannot read and that other pages' requests do not carry."""
    secure = request.url.scheme == "https"
    answer.set_cookie(name, value, max_age=int(seconds), httponly=True, samesite="lax", secure=secure)


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
