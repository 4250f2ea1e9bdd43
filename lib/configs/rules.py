"""Read a rule's figures from settings: ``margin`` of the gate is the setting ``gate_margin``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TypeVar

from lib.domain.errors import BadRequestError

Rule = TypeVar("Rule")
_EXPECTED: dict[type, str] = {int: "a whole number", float: "a number", str: "text"}


def read_rule(kind: type[Rule], prefix: str, given: Callable[[str], str | None]) -> Rule:
    """Build a rule from the settings that are given; the others keep their defaults.

    Args:
        kind: A frozen record whose fields all have a default of type int, float or str.
        prefix: Of the settings' names.
        given: Looks a setting up by its name; None when it is not given.

    Raises:
        BadRequestError: When a setting is not of its field's type, or the rule refuses it.
    """
    found = {item.name: given(f"{prefix}_{item.name}") for item in fields(kind)}  # type: ignore[arg-type]
    default = kind()
    return kind(
        **{
            name: _read(type(getattr(default, name)), text, f"{prefix}_{name}")
            for name, text in found.items()
            if text is not None
        }
    )


def _read(kind: type, text: str, name: str) -> object:
    try:
        return kind(text)
    except ValueError:
        msg = f"setting {name} is {text!r}; expected {_EXPECTED[kind]}"
        raise BadRequestError(msg) from None
