"""``/datastore/image`` and the export of the whole cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import File, Form, Query, UploadFile
from fastapi.responses import FileResponse
from monailabel.endpoints import datastore as framework
from monailabel.utils.others.generic import file_checksum
from starlette.background import BackgroundTask

from lib.domain.errors import BadRequestError, UnknownImageError
from lib.imaging.volume import image_stem
from lib.web.door import TheDoor, TheUser
from lib.web.parameters import WHO, json_object, without
from lib.web.table import Lanes
from lib.web.uploads import request_folder

_CHECKSUMS = ("SHA256", "SHA512", "MD5")


def add(
    door: TheDoor,
    user: TheUser,
    file: Annotated[UploadFile, File()],
    image: str | None = None,
    params: Annotated[str, Form()] = "{}",
) -> dict[str, Any]:
    """Add an image to the cohort."""
    told = without(json_object(params, "params"), WHO)
    image_id = image or image_stem(Path(Path(file.filename or "").name))
    with request_folder(door.settings.upload_megavoxels) as folder:
        path = folder.keep(file, "image")
        added = door.app.datastore().add_image(image_id, str(path), {**told, "user": user.name} if user.name else told)
    return {"image": added}


def remove(door: TheDoor, id: str) -> dict[str, Any]:  # noqa: A002
    """Take an image and its labels out of the cohort."""
    door.app.datastore().remove_image(id)
    return {}


def exists(door: TheDoor, image: str, check_sum: str | None = None) -> dict[str, Any]:
    """Check whether there is an image, and its checksum (``SHA256:...``)."""
    path = door.app.datastore().get_image_uri(image)
    if check_sum:
        algorithm, colon, digest = check_sum.rpartition(":")
        algorithm = algorithm if colon else _CHECKSUMS[0]
        if algorithm not in _CHECKSUMS:
            msg = f"the checksum's algorithm is unknown; expected one of: {', '.join(_CHECKSUMS)}"
            raise BadRequestError(msg)
        if digest != file_checksum(path, algo=algorithm):
            msg = "the image has another checksum; expected the one that was sent"
            raise UnknownImageError(msg)
    return {}


def download(image: str) -> FileResponse:
    """Download an image."""
    found: FileResponse = framework.download_image(image)
    return found


def info(door: TheDoor, image: str) -> dict[str, Any]:
    """Read what is known of an image."""
    found: dict[str, Any] = door.app.datastore().get_image_info(image)
    return found


def update_info(door: TheDoor, user: TheUser, image: str, info: Annotated[str, Form()] = "{}") -> dict[str, Any]:
    """Add to what is known of an image."""
    told = without(json_object(info, "info"), WHO)
    door.app.datastore().update_image_info(image, {**told, "user": user.name} if user.name else told)
    return {}


async def export(door: TheDoor, limit_cases: Annotated[int | None, Query(ge=1)] = None) -> FileResponse:
    """Download labelled images and their labels as a zip archive."""
    written: list[str] = []
    wanted = [True]

    def write() -> str:
        written.append(door.app.datastore().get_dataset_archive(limit_cases))
        return written[0]

    def clean() -> None:
        if not wanted[0]:
            for path in written:
                Path(path).unlink(missing_ok=True)

    try:
        path = await door.lanes[Lanes.EXPORT].run(write, release=clean)
    except BaseException:
        wanted[0] = False
        clean()
        raise
    return FileResponse(
        path,
        media_type="application/zip",
        filename="dataset.zip",
        background=BackgroundTask(Path(path).unlink, missing_ok=True),
    )
