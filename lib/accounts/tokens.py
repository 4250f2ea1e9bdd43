"""Signed tokens: one kind for clients that send a header, one for a browser's cookie."""

from __future__ import annotations

import time
import uuid
from enum import StrEnum
from threading import Lock

import jwt
from cachetools import TTLCache

from lib.accounts.roles import get_role
from lib.accounts.users import Account, User, UserFile

_ALGORITHM = "HS256"
_MOST_ENDED = 100_000


class Purpose(StrEnum):
    """Where a token may be used; one kind is never taken for the other."""

    CLIENT = "client"
    BROWSER = "browser"


class Tokens:
    """Issues and reads tokens; a token ends with its time, its user, its password, or a logout.

    Args:
        users: The local users.
        hours: How long a login lasts.
        issuer: Of the provider whose users log in too; empty for none.
    """

    def __init__(self, users: UserFile, hours: float, issuer: str = "") -> None:
        self._users, self._issuer = users, issuer
        self.seconds = hours * 3600
        self._ended: TTLCache[str, bool] = TTLCache(_MOST_ENDED, ttl=self.seconds)
        self._guard = Lock()

    def issue(self, account: Account, purpose: Purpose) -> str:
        """A token for a local user who has just logged in."""
        return self._signed(account.user.name, purpose, gen=account.generation)

    def issue_provided(self, user: User, purpose: Purpose) -> str:
        """A token for a user of the provider; it keeps the role that the provider gave."""
        return self._signed(user.name, purpose, role=user.role.title, provider=self._issuer)

    def read(self, token: str, purpose: Purpose) -> User | None:
        """Whose token it is; None when it is worth nothing (any more)."""
        claims = self._claims(token, purpose)
        if claims is None or self._has_ended(claims["jti"]):
            return None
        if "provider" in claims:
            provided = self._issuer and claims["provider"] == self._issuer
            return User(name=claims["sub"], role=get_role(claims["role"])) if provided else None
        account = self._users.account(claims["sub"])
        return account.user if account and account.generation == claims.get("gen") else None

    def end(self, token: str, purpose: Purpose) -> None:
        """Let a token be worth nothing from now on."""
        claims = self._claims(token, purpose)
        if claims:
            with self._guard:
                self._ended[claims["jti"]] = True

    def _signed(self, name: str, purpose: Purpose, **claims: str) -> str:
        now = time.time()
        times = {"iat": now, "exp": now + self.seconds}
        stated = {**claims, "sub": name, "aud": purpose.value, "jti": uuid.uuid4().hex, **times}
        return jwt.encode(stated, self._users.key(), algorithm=_ALGORITHM)

    def _has_ended(self, token_id: str) -> bool:
        with self._guard:
            return token_id in self._ended

    def _claims(self, token: str, purpose: Purpose) -> dict[str, str] | None:
        key = self._users.key()
        if not key:
            return None
        try:
            return dict(
                jwt.decode(
                    token,
                    key,
                    algorithms=[_ALGORITHM],
                    audience=purpose.value,
                    options={"require": ["exp", "sub", "jti", "aud"]},
                )
            )
        except jwt.InvalidTokenError:
            return None
