"""``/session``: an image of the client's own, to ask about without adding it to the cohort."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import File, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response

from lib.domain.errors import BadRequestError
from lib.web.door import TheDoor, TheUser
from lib.web.sessions import Session
from lib.web.uploads import RequestFolder


def create(
    door: TheDoor, user: TheUser, files: Annotated[list[UploadFile], File()], uncompress: bool = False
) -> dict[str, Any]:
    """Upload an image."""
    if uncompress or len(files) != 1:
        msg = f"{len(files)} files{', packed' if uncompress else ''}; expected one NIfTI file, which is not an archive"
        raise BadRequestError(msg)
    door.sessions.check()
    folder = RequestFolder(megavoxels=door.settings.upload_megavoxels)
    try:
        session = door.sessions.add(user.name, folder.keep(files[0], "image"), folder)
    except BaseException:
        folder.remove()
        raise
    return {"session_id": session.id, "session_info": _shown(session)}


def get(door: TheDoor, user: TheUser, session_id: str, image: bool = False) -> Response:
    """Look at a session, or download its image."""
    session = door.sessions.get(session_id, user.name)
    return FileResponse(session.image, filename=session.image.name) if image else JSONResponse(_shown(session))


def remove(door: TheDoor, user: TheUser, session_id: str) -> dict[str, Any]:
    """End a session."""
    door.sessions.remove(session_id, user.name)
    return {}


def _shown(session: Session) -> dict[str, Any]:
    return {"name": session.id, "image": session.image.name}
