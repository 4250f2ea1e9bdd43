"""``/proxy/dicom``: the viewer's way to the PACS, for reading, along the paths of DICOMweb and no others."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from lib.configs.archive import is_web
from lib.domain.errors import ArchiveError, ArchiveTimeoutError, UnknownImageError
from lib.pacs.archive import Address
from lib.web.door import TheDoor

_UID = r"[0-9.]{1,64}"
_PATHS = re.compile(
    rf"(studies|series|instances"
    rf"|studies/{_UID}(/(series|instances|metadata|rendered|thumbnail))?"
    rf"|studies/{_UID}/series/{_UID}(/(instances|metadata|rendered|thumbnail))?"
    rf"|studies/{_UID}/series/{_UID}/instances/{_UID}(/(metadata|rendered|thumbnail|pixeldata|bulkdata(/[A-Za-z0-9]+)*"
    rf"|frames/[0-9,]+(/(rendered|thumbnail))?))?"
    r")"
)
_CONNECT_S = 5.0
_ASKED = ("accept", "accept-encoding", "range")
_PLAIN = {"accept-encoding": "identity"}  # else httpx asks for what the viewer may not understand
_ANSWERED = ("content-type", "content-length", "content-encoding", "content-range", "warning")
_SERVER_ERROR = 500


async def forward(request: Request, door: TheDoor, path: str) -> StreamingResponse:
    """Ask the PACS what the viewer asks, query included; nothing of the user's login leaves this server.

    Raises:
        UnknownImageError: When there is no PACS, or the path is not one of DICOMweb's for reading.
        ArchiveError: When the PACS cannot be reached, fails, or sends elsewhere.
        ArchiveTimeoutError: When it does not answer in time.
    """
    address = str(door.app.studies)
    if not is_web(address) or not _PATHS.fullmatch(path):
        msg = "no such path at the PACS; expected one of DICOMweb's for reading, and studies that are a PACS"
        raise UnknownImageError(msg)
    client = _client(door.settings.pacs_timeout_s)
    pacs: Address = door.app.archive.address(address)
    url = httpx.URL(f"{address.rstrip('/')}/{_prefix(path, pacs)}{path}")
    asked = client.build_request(
        "GET",
        url.copy_with(query=request.scope["query_string"] or None),
        headers=_PLAIN
        | {name: request.headers[name] for name in _ASKED if name in request.headers}
        | dict(pacs.headers),
    )
    try:
        answer = await client.send(asked, stream=True)
    except httpx.TimeoutException:
        await client.aclose()
        msg = f"the PACS does not answer within {door.settings.pacs_timeout_s:g} s"
        raise ArchiveTimeoutError(msg) from None
    except httpx.HTTPError as error:
        await client.aclose()
        msg = f"the PACS cannot be reached ({type(error).__name__})"
        raise ArchiveError(msg) from None
    if answer.status_code >= _SERVER_ERROR or answer.is_redirect:
        await answer.aclose()
        await client.aclose()
        msg = f"the PACS answers {answer.status_code}; expected an answer of DICOMweb"
        raise ArchiveError(msg)
    return StreamingResponse(
        _body(answer),
        answer.status_code,
        headers={name: answer.headers[name] for name in _ANSWERED if name in answer.headers},
        background=BackgroundTask(client.aclose),
    )


def _client(timeout_s: float) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
        follow_redirects=False,
        trust_env=False,
    )


def _prefix(path: str, pacs: Address) -> str:
    """What this PACS puts before the paths of WADO and QIDO."""
    retrieves = "/metadata" in path or "/frames/" in path or "/bulkdata" in path
    prefix = pacs.retrieve if retrieves else pacs.search
    return f"{prefix}/" if prefix else ""


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()
