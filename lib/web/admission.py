"""Who asks, and whether the way they ask is safe: tokens, cookies, loopback, and requests from other web pages."""

from __future__ import annotations

import secrets
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from lib.accounts.loopback import is_loopback
from lib.accounts.provider import Provider
from lib.accounts.roles import Role
from lib.accounts.tokens import Purpose, Tokens
from lib.accounts.users import User, UserFile
from lib.domain.errors import ForbiddenError, NotLoggedInError

COOKIE = "renal_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ANYONE = User(name="", role=Role.ADMIN)
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip")
_OWN_SITE = frozenset({"same-origin", "none"})
_BEARER = "bearer"


class Admission:
    """Knows the user of a request. Without users, everyone on this machine, and nobody else, is an admin."""

    def __init__(
        self, users: UserFile, tokens: Tokens, metrics_token: str = "", provider: Provider | None = None
    ) -> None:
        self.users, self.tokens, self.provider = users, tokens, provider
        self._metrics_token = metrics_token

    @property
    def login_required(self) -> bool:
        """Whether there is anyone who could log in."""
        return self.provider is not None or self.has_users

    @property
    def has_users(self) -> bool:
        """Whether there are local users, who log in with a password."""
        return bool(self.users.key()) and bool(self.users.users())

    def user(self, scope: Scope) -> User:
        """Who asks.

        Raises:
            NotLoggedInError: When nobody is logged in, or not any more.
            ForbiddenError: When the request comes from another machine or another web page.
        """
        headers = Headers(scope=scope)
        if not self.login_required:
            check_loopback(scope)
            check_own_page(scope, strict=False)
            return ANYONE
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == _BEARER and token:
            found = self.tokens.read(token.strip(), Purpose.CLIENT)
        else:
            found = self.tokens.read(cookie_of(scope), Purpose.BROWSER)
            if found:
                check_own_page(scope, strict=True)
        if found is None:
            msg = "nobody is logged in, or the login has ended; expected a token of /auth/token, or a login at /login"
            raise NotLoggedInError(msg)
        return found

    def is_metrics_collector(self, scope: Scope) -> bool:
        """Whether the request carries the metrics token of the settings."""
        given = Headers(scope=scope).get("authorization", "")
        expected = f"Bearer {self._metrics_token}"
        return bool(self._metrics_token) and secrets.compare_digest(given.encode(), expected.encode())


def cookie_of(scope: Scope) -> str:
    """The browser's token; empty when it sends none."""
    return HTTPConnection(scope).cookies.get(COOKIE, "")


def check_loopback(scope: Scope) -> None:
    """Refuse what does not come from this machine itself, or came through a proxy or under another name.

    A web page can point a name of its own at 127.0.0.1; the Host header tells.

    Raises:
        ForbiddenError: When it does not.
    """
    headers = Headers(scope=scope)
    address = (scope.get("client") or ("", 0))[0]
    host = _split(f"//{headers.get('host', '')}").hostname
    if not is_loopback(address) or host not in _LOOPBACK_NAMES or any(name in headers for name in _FORWARDED):
        msg = "this server has no users, so it answers only its own machine; expected `main.py users add` to be run"
        raise ForbiddenError(msg)


def check_own_page(scope: Scope, *, strict: bool) -> None:
    """Refuse a change that another web page makes a browser ask for.

    Args:
        scope: The request.
        strict: Whether a request that says nothing of its page is refused too.

    Raises:
        ForbiddenError: When it comes from another page.
    """
    if scope["method"] in SAFE_METHODS:
        return
    headers = Headers(scope=scope)
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        safe = site in _OWN_SITE
    elif origin is not None:
        safe = _split(origin).netloc == headers.get("host")
    else:
        safe = not strict
    if not safe:
        msg = "the request comes from another web page; expected one of this server's own pages, or a token"
        raise ForbiddenError(msg)


def _split(address: str) -> SplitResult:
    """The parts of an address; empty ones when it is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
