"""``/infer``: a proposal for an image of the cohort, of a session, or in the request itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import File, Form, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from monailabel.interfaces.app import MONAILabelApp
from monailabel.utils.others.generic import get_mime_type
from requests_toolbelt import MultipartEncoder

from lib.domain.errors import BadRequestError
from lib.web.door import Door, TheDoor, TheUser
from lib.web.parameters import checked, json_object, without
from lib.web.table import Lanes
from lib.web.uploads import RequestFolder

OURS = ("model", "image", "image_info", "upload", "label_file", "session", "file")  # a client may not set these
KINDS: dict[str, type] = {
    **dict.fromkeys(("label_tag", "result_extension", "sequence", "label", "start"), str),
    **dict.fromkeys(("save_label", "propagate"), bool),
}


class Output(StrEnum):
    """What of the proposal is wanted."""

    IMAGE = "image"
    JSON = "json"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Reply:
    """A proposal, with nothing left on the disk."""

    name: str
    payload: bytes
    params: dict[str, Any]


async def infer(
    door: TheDoor,
    user: TheUser,
    model: str,
    image: str = "",
    session_id: str = "",
    params: Annotated[str, Form()] = "{}",
    file: Annotated[UploadFile | None, File()] = None,
    label: Annotated[UploadFile | None, File()] = None,
    output: Output | None = None,
) -> Response:
    """Propose a label."""
    if not file and not image and not session_id:
        msg = "there is no image; expected one of: the parameter image, the parameter session_id, the upload file"
        raise BadRequestError(msg)
    request = {**without(checked(json_object(params, "params"), KINDS), OURS), "model": model, "image": image}
    if session_id:
        request |= {"image": str(door.sessions.get(session_id, user.name).image), "upload": True}
    folder = RequestFolder(megavoxels=door.settings.upload_megavoxels)
    try:
        request |= await run_in_threadpool(_kept, folder, file, label)
    except BaseException:
        folder.remove()
        raise
    reply = await door.lanes[Lanes.INFER].run(_job(door, request), release=folder.remove)
    return _response(reply, output)


def _kept(folder: RequestFolder, file: UploadFile | None, label: UploadFile | None) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    if file:
        kept |= {"image": str(folder.keep(file, "image")), "upload": True}
    if label:
        kept["label_file"] = str(folder.keep(label, "label"))
    return kept


def _job(door: Door, request: dict[str, Any]) -> Callable[[], _Reply]:
    def count(app: MONAILabelApp) -> _Reply:
        reply = _propose(app, request)
        door.metrics.proposed(request["model"])
        return reply

    return partial(count, door.app)


def _propose(app: MONAILabelApp, request: dict[str, Any]) -> _Reply:
    result = app.infer(request)
    path = Path(result["file"])
    try:
        return _Reply(name=path.name, payload=path.read_bytes(), params=result["params"])
    finally:
        path.unlink(missing_ok=True)


def _response(reply: _Reply, output: Output | None) -> Response:
    kind = get_mime_type(reply.name)
    if output is Output.JSON:
        return JSONResponse(reply.params)
    if output is Output.IMAGE:
        headers = {"Content-Disposition": f'attachment; filename="{reply.name}"'}
        return Response(reply.payload, media_type=kind, headers=headers)
    parts = MultipartEncoder(
        {
            "params": (None, json.dumps(reply.params), "application/json"),
            "image": (reply.name, reply.payload, kind),
        }
    )
    return Response(parts.to_string(), media_type=parts.content_type)
