"""Clicks as clients write them: 3D Slicer, OHIF and our own pages each in their way (``docs/clicks.md``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lib.domain.clicks import Click
from lib.domain.errors import BadRequestError
from lib.domain.structures import STRUCTURES, structure_names

FOREGROUND, BACKGROUND = "foreground", "background"
UNSAID = "mass"  # whose a click against something is, when nothing else tells
MOST_CLICKS = 64
_AXES = 3
_SIDES = {FOREGROUND: True, BACKGROUND: False}


def read_clicks(request: Mapping[str, Any], shape: tuple[int, int, int]) -> list[Click]:
    """Read every click of a request, in the order of the structure table and of the client.

    Args:
        request: What the client sent; entries that have nothing to do with clicks are passed over.
        shape: Of the image that was clicked.

    Raises:
        UnknownStructureError: When clicks name no structure of the table.
        BadRequestError: When something is no click, lies outside of the image, or contradicts another click.
    """
    clicks = []
    for name in STRUCTURES:
        given = request.get(name)
        sides = given if isinstance(given, Mapping) else {FOREGROUND: given}
        unknown = [side for side in sides if side not in _SIDES]
        if unknown:
            msg = f"the clicks of {name} have an entry {unknown[0]!r}; expected {FOREGROUND} and {BACKGROUND}"
            raise BadRequestError(msg)
        for side, inside in _SIDES.items():
            clicks += _clicks(sides.get(side), name, inside, shape)
    clicks += _unnamed(request, shape, [click.structure for click in clicks if click.inside])
    _check_unknown(request)
    return _checked(list(dict.fromkeys(clicks)))


def _unnamed(request: Mapping[str, Any], shape: tuple[int, int, int], clicked: list[str]) -> list[Click]:
    """Clicks of the entries ``foreground`` and ``background``, which ``label`` gives to a structure."""
    label = request.get("label")
    named = list(structure_names([str(label)])) if label and any(request.get(side) for side in _SIDES) else []
    if request.get(FOREGROUND) and not named:
        msg = f"clicks under {FOREGROUND!r} without a label; expected label to be one of: {', '.join(STRUCTURES)}"
        raise BadRequestError(msg)
    against = named or list(dict.fromkeys(clicked)) or [UNSAID]
    found = [click for name in named for click in _clicks(request.get(FOREGROUND), name, True, shape)]
    return found + [click for name in against for click in _clicks(request.get(BACKGROUND), name, False, shape)]


def _check_unknown(request: Mapping[str, Any]) -> None:
    """Refuse clicks of a structure that is not in the table: an entry that looks like clicks under another name."""
    for name, given in request.items():
        looks = isinstance(given, Mapping) and bool(set(given) & set(_SIDES))
        looks |= isinstance(given, list) and bool(given) and all(isinstance(one, list) for one in given)
        if looks and name not in _SIDES:
            structure_names([name])


def _clicks(given: Any, name: str, inside: bool, shape: tuple[int, int, int]) -> list[Click]:
    if given is None:
        return []
    if not isinstance(given, list):
        msg = f"the clicks of {name} are a {type(given).__name__}; expected a list of [i, j, k]"
        raise BadRequestError(msg)
    return [Click(structure=name, inside=inside, at=_place(one, name, shape)) for one in given]


def _place(given: Any, name: str, shape: tuple[int, int, int]) -> tuple[float, float, float]:
    numbers = given if isinstance(given, list) else []
    if len(numbers) != _AXES or not all(_is_finite(number) for number in numbers):
        msg = f"a click of {name} is not three finite numbers; expected [i, j, k]"
        raise BadRequestError(msg)
    i, j, k = (round(number) for number in numbers)
    if not all(0 <= at < n for at, n in zip((i, j, k), shape, strict=True)):
        msg = f"the click {[i, j, k]} of {name} lies outside of the image; expected voxels of an image of shape {shape}"
        raise BadRequestError(msg)
    return i, j, k


def _is_finite(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)


def _checked(clicks: list[Click]) -> list[Click]:
    if len(clicks) > MOST_CLICKS:
        msg = f"the request has {len(clicks)} clicks; expected at most {MOST_CLICKS}"
        raise BadRequestError(msg)
    owner: dict[tuple[float, float, float], str] = {}
    for click in clicks:
        if click.inside and owner.setdefault(click.at, click.structure) != click.structure:
            msg = f"one voxel is clicked as {owner[click.at]} and as {click.structure}; expected one structure"
            raise BadRequestError(msg)
    if any(not click.inside and owner.get(click.at) == click.structure for click in clicks):
        msg = "one voxel is clicked for and against the same structure; expected one or the other"
        raise BadRequestError(msg)
    return clicks
