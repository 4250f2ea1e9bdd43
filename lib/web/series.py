"""A series' UID in the place of an image's id: what viewers of a PACS know an image by."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

from starlette.types import Scope

_NAMES = ("image", "label", "id")  # what routes call the image that they are asked about


def with_image_ids(scope: Scope, image_id: Callable[[str], str]) -> Scope:
    """The request with ids of images in its query.

    Args:
        scope: Of the request.
        image_id: The id of an image that is named by its id or by its series' UID.
    """
    asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    named = [(name, image_id(value) if name in _NAMES else value) for name, value in asked]
    return scope if named == asked else {**scope, "query_string": urlencode(named).encode("ascii")}
