"""Local users in one JSON file that only its owner can read: Argon2 hashes, roles, and the key that signs tokens.

Every change is one atomic replace under a lock, so the server may run while users are added; it notices at the next
request. What is read is kept until the file changes.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from filelock import FileLock

from lib.accounts.roles import Role, get_role
from lib.domain.errors import BadUsersError
from lib.imaging.volume import write_bytes

SHORTEST_PASSWORD, LONGEST_PASSWORD = 10, 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PRIVATE = 0o600
_OTHERS = 0o077
_HASHER = PasswordHasher()


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who asks.

    Attributes:
        name: Empty when the server asks for no login.
    """

    name: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One user as the file keeps it.

    Attributes:
        password: Argon2 hash with its parameters.
        generation: Of the password; a new one makes older tokens worthless.
    """

    user: User
    password: str
    generation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    key: str
    accounts: Mapping[str, Account]


class UserFile:
    """The users of one installation; safe to share between threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cached: tuple[tuple[int, int, int], _Content] | None = None
        self._guard = threading.Lock()

    def users(self) -> list[User]:
        """Everyone, by name; nobody when there is no file.

        Raises:
            BadUsersError: When the file cannot be trusted.
        """
        return [account.user for _, account in sorted(self._read().accounts.items())]

    def account(self, name: str) -> Account | None:
        """One user's account, if there is such a user."""
        return self._read().accounts.get(name)

    def key(self) -> str:
        """The secret that signs tokens; empty when there are no users."""
        return self._read().key

    def make_key(self) -> None:
        """Make sure that there is a key, also where everyone logs in elsewhere and there are no local users."""
        with self._changing() as content:
            if not content.key:
                self._write(content, content.accounts)

    def add(self, name: str, role: Role, password: str) -> None:
        """Add a user.

        Raises:
            BadUsersError: When name or password cannot be used, or the name is taken.
        """
        if not _NAME.fullmatch(name):
            msg = "the user name is empty or has characters outside letters, digits, '.', '_' and '-'"
            raise BadUsersError(msg)
        account = Account(user=User(name=name, role=role), password=_hashed(password), generation=_generation())
        with self._changing() as content:
            if name in content.accounts:
                msg = f"there is a user {name!r}; expected a new name, or the command passwd"
                raise BadUsersError(msg)
            self._write(content, {**content.accounts, name: account})

    def remove(self, name: str) -> None:
        """Take a user out; the tokens of that user end at once.

        Raises:
            BadUsersError: When there is no such user.
        """
        with self._changing() as content:
            self._known(content, name)
            self._write(content, {other: account for other, account in content.accounts.items() if other != name})

    def set_password(self, name: str, password: str) -> None:
        """Give a user a new password; the tokens from before end at once.

        Raises:
            BadUsersError: When there is no such user, or the password cannot be used.
        """
        hashed = _hashed(password)
        with self._changing() as content:
            account = replace(self._known(content, name), password=hashed, generation=_generation())
            self._write(content, {**content.accounts, name: account})

    def check(self, name: str, password: str) -> Account | None:
        """The account, if name and password belong together; takes as long for a name that does not exist."""
        account = self.account(name)
        try:
            right = _HASHER.verify(account.password if account else _nobody(), password[: LONGEST_PASSWORD + 1])
        except (Argon2Error, InvalidHashError):
            return None
        return account if right else None

    @staticmethod
    def _known(content: _Content, name: str) -> Account:
        if name not in content.accounts:
            msg = f"no user {name!r}; expected one of: {', '.join(sorted(content.accounts)) or 'nobody yet'}"
            raise BadUsersError(msg)
        return content.accounts[name]

    def _changing(self) -> _Change:
        return _Change(self)

    def _read(self) -> _Content:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return _Content(key="", accounts={})
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        with self._guard:
            if self._cached and self._cached[0] == stamp:
                return self._cached[1]
            if status.st_mode & _OTHERS:
                msg = "the file of users can be read by others; expected mode 600 (chmod 600)"
                raise BadUsersError(msg)
            content = _parsed(self.path.read_bytes())
            self._cached = stamp, content
            return content

    def _write(self, content: _Content, accounts: Mapping[str, Account]) -> None:
        document = {
            "key": content.key or secrets.token_hex(32),
            "users": {
                name: {"role": one.user.role.title, "password": one.password, "generation": one.generation}
                for name, one in sorted(accounts.items())
            },
        }
        write_bytes(json.dumps(document, indent=1).encode(), self.path, mode=_PRIVATE)


class _Change:
    """Content of the file, with nobody else writing it meanwhile."""

    def __init__(self, file: UserFile) -> None:
        self._file = file
        file.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FileLock(f"{file.path}.lock")

    def __enter__(self) -> _Content:
        self._lock.acquire()
        return self._file._read()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _parsed(payload: bytes) -> _Content:
    try:
        document = json.loads(payload)
        accounts = {
            name: Account(
                user=User(name=name, role=get_role(row["role"])),
                password=row["password"],
                generation=row["generation"],
            )
            for name, row in document["users"].items()
        }
        return _Content(key=document["key"], accounts=accounts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"the file of users is damaged ({type(error).__name__}); expected what the users command writes"
        raise BadUsersError(msg) from None


def _hashed(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        msg = f"the password has {len(password)} characters; expected {SHORTEST_PASSWORD} to {LONGEST_PASSWORD}"
        raise BadUsersError(msg)
    return _HASHER.hash(password)


@cache
def _nobody() -> str:
    """A hash that no password fits, with today's parameters."""
    return _HASHER.hash(secrets.token_hex(32))


def _generation() -> str:
    return secrets.token_hex(8)
