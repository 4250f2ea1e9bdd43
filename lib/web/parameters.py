"""Parameters that clients send as JSON inside a form: read once, checked once."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from lib.domain.errors import BadRequestError

WHO = ("author", "user", "reader")  # what clients call the person; the login knows better


def json_object(text: str, name: str) -> dict[str, Any]:
    """Read a parameter that has to be a JSON object; empty counts as none.

    Raises:
        BadRequestError: When it is none, or nested too deeply.
    """
    try:
        content = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        msg = f"the parameter {name} is not JSON ({type(error).__name__}); expected a JSON object"
        raise BadRequestError(msg) from None
    if not _writable(content):
        msg = f"the parameter {name} holds NaN, an infinite number or half a character; expected plain JSON"
        raise BadRequestError(msg)
    if not isinstance(content, dict):
        msg = f"the parameter {name} is {type(content).__name__}; expected a JSON object"
        raise BadRequestError(msg)
    return content


def without(told: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """All but the entries that a client may not set."""
    return {name: value for name, value in told.items() if name not in names}


def only(told: Mapping[str, Any], kinds: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """The entries of a table, each of its kind; an empty field (null) counts as not given.

    Raises:
        BadRequestError: When an entry is of another kind.
    """
    return {name: told[name] for name in kinds if _fits(told, name, kinds[name])}


def checked(told: Mapping[str, Any], kinds: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """All entries, those of a table each of its kind.

    Raises:
        BadRequestError: When an entry is of another kind.
    """
    return {name: value for name, value in told.items() if name not in kinds or _fits(told, name, kinds[name])}


def authored(told: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a client tells, under the name of who is logged in; its own word counts where nobody is."""
    return {**without(told, WHO), WHO[0]: name} if name else dict(told)


def _fits(told: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> bool:
    value = told.get(name)
    if value is None:
        return False
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds) or not _writable(value):
        expected = " or ".join(one.__name__ for one in kinds)
        msg = f"the option {name} is {type(value).__name__}; expected a plain {expected}"
        raise BadRequestError(msg)
    return True


def _writable(value: object) -> bool:
    """Whether JSON can carry it back: no infinity, no half of a character."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True
