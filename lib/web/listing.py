"""``GET /datastore/``, without FastAPI's walk over every value, which takes longer than reading the index."""

from __future__ import annotations

import json

import orjson
from fastapi import Response
from monailabel.endpoints.datastore import ResultType, datastore


def listing(output: ResultType | None = None) -> Response:
    """Answer what MONAI Label's own route answers; in a thread, so that other requests go on."""
    return Response(as_json(datastore(output)), media_type="application/json")


def as_json(content: object) -> bytes:
    """Write what clients read, whatever some client once stored."""
    try:
        return orjson.dumps(content)
    except TypeError:  # a client's entry that JSON has no way to say exactly, such as half of a character
        return json.dumps(content).encode()
