"""``/datastore/label``: what readers submit; its author is who is logged in."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import File, Form, UploadFile
from fastapi.responses import FileResponse
from monailabel.endpoints import datastore as framework

from lib.store.cohort import FINAL
from lib.web.door import TheDoor, TheUser
from lib.web.parameters import WHO, authored, json_object, without
from lib.web.uploads import request_folder


def save(
    door: TheDoor,
    user: TheUser,
    image: str,
    label: Annotated[UploadFile, File()],
    params: Annotated[str, Form()] = "{}",
    tag: str = FINAL,
) -> dict[str, Any]:
    """Submit a label."""
    told = authored(json_object(params, "params"), user.name)
    with request_folder(door.settings.upload_megavoxels) as folder:
        path = folder.keep(label, "label")
        label_id = door.app.datastore().save_label(image, str(path), tag or FINAL, told)
    more = door.app.on_save_label(image, label_id)
    door.metrics.saved_label()
    return {**(more or {}), "image": image, "label": label_id}


def download(label: str, tag: str = FINAL) -> FileResponse:
    """Download a label."""
    found: FileResponse = framework.download_label(label, tag)
    return found


def exists(door: TheDoor, image: str, tag: str = FINAL) -> dict[str, Any]:
    """Check whether there is a label."""
    door.app.datastore().get_label_uri(image, tag)
    return {}


def info(door: TheDoor, label: str, tag: str = FINAL) -> dict[str, Any]:
    """Read what is known of a label."""
    found: dict[str, Any] = door.app.datastore().get_label_info(label, tag)
    return found


def update_info(
    door: TheDoor, user: TheUser, label: str, tag: str = FINAL, info: Annotated[str, Form()] = "{}"
) -> dict[str, Any]:
    """Add to what is known of a label; its author stays."""
    told = without(json_object(info, "info"), WHO)
    door.app.datastore().update_label_info(label, tag, {**told, "user": user.name} if user.name else told)
    return {}


def update_info_by_params(
    door: TheDoor, user: TheUser, label: str, tag: str = FINAL, params: Annotated[str, Form()] = "{}"
) -> dict[str, Any]:
    """Do the same under the name that 3D Slicer's reviewer module uses."""
    return update_info(door, user, label, tag, params)


def remove(door: TheDoor, id: str, tag: str = FINAL) -> dict[str, Any]:  # noqa: A002
    """Let no version of a label count; all are kept."""
    door.app.datastore().remove_label(id, tag)
    return {}


def suspicious(door: TheDoor) -> dict[str, Any]:
    """List the labels that were found suspicious and wait for a reviewer, with what speaks against each."""
    return {"labels": [{**asdict(one), "why": one.why} for one in door.app.settings.reviews().open()]}


def release(door: TheDoor, user: TheUser, image: str, reason: str) -> dict[str, Any]:
    """Say that a suspicious label is right: from the next training on it counts as any other."""
    return asdict(door.app.settings.reviews().release(image, who=user.name or "a reviewer", why=reason))
