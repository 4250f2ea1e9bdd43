"""``/viewer``: what the annotation panel in OHIF asks: the case, a proposal, a label, each by its slices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import File, Form, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from requests_toolbelt import MultipartEncoder

from lib.domain.errors import BadRequestError, UnknownImageError
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import MASS, STRUCTURES
from lib.imaging.lesions import components_by_size, measure_masses
from lib.imaging.volume import Volume, read_label, write_volume
from lib.ingest.dicom_planes import lay_on
from lib.pacs.mirror import PacsMirror
from lib.pacs.planes import ImagePlanes
from lib.store.cohort import FINAL
from lib.web.door import Door, TheDoor, TheUser
from lib.web.endpoints.infer import KINDS, OURS
from lib.web.masks import packed, unpacked, voxel
from lib.web.parameters import authored, checked, json_object, without
from lib.web.table import Lanes
from lib.web.uploads import RequestFolder, request_folder

_CLICKS = "refine_clicks"
_LABEL = "label.nii.gz"
Meta = Annotated[str, Form()]
Mask = Annotated[UploadFile, File()]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sent:
    """What came with a mask: its slices' names and whatever else the panel tells."""

    told: dict[str, Any]
    keys: list[str]
    payload: bytes

    def label(self, door: Door, planes: ImagePlanes) -> Volume:
        return unpacked(self.payload, self.keys, planes, door.app.datastore().store.grid(planes.image_id))


def case(door: TheDoor, user: TheUser, study: str = "", image: str = "") -> dict[str, Any]:
    """Read what the panel needs of a study: its images and their slices, structures, models, reasons."""
    store, offered = door.app.datastore().store, door.app.info()
    planes = _planes(door, image) if image else None
    uid = planes.study_uid if planes else study
    order = list(SEQUENCES)
    found = [(store.image(one.image_id), one) for one in _mirror(door).planes.of_study(uid)]
    if not found:
        msg = "the study has no image that could be recognised; expected MR images of one of the sequences"
        raise UnknownImageError(msg)
    found.sort(key=lambda pair: order.index(pair[0].sequence) if pair[0].sequence in order else len(order))
    return {
        "study": uid,
        "user": user.name,
        "patient": found[0][0].patient_id,
        "structures": [
            {"name": row.name, "value": row.value, "title": row.title, "colour": row.colour}
            for row in STRUCTURES.values()
        ],
        "strategies": [{"name": name, "title": row["description"]} for name, row in offered["strategies"].items()],
        "clicks": _CLICKS in offered["models"],
        "images": [_image(door, row.sequence, one) for row, one in found],
    }


async def proposal(
    door: TheDoor,
    model: str,
    image: str,
    meta: Meta = "{}",
    mask: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """Propose a label, from the image alone or from a label and clicks."""
    planes = _planes(door, image)
    sent = await run_in_threadpool(_sent, meta, mask) if mask else None
    told = sent.told if sent else json_object(meta, "meta")
    request = {**without(checked(told, KINDS), (*OURS, "clicks")), **_clicked(door, told, planes)}
    request |= {"model": model, "image": planes.image_id, "result_extension": ".nii.gz"}
    folder = RequestFolder(megavoxels=door.settings.upload_megavoxels)
    try:
        if sent:
            request["label"] = await run_in_threadpool(_kept, sent.label(door, planes), folder.path)
    except BaseException:
        folder.remove()
        raise
    return await door.lanes[Lanes.INFER].run(partial(_propose, door, planes, request), release=folder.remove)


def label(door: TheDoor, image: str, tag: str = FINAL) -> Response:
    """Read the label that counts."""
    planes = _planes(door, image)
    version = door.app.datastore().store.label(planes.image_id, tag)
    found = read_label(version.path)
    return _answer(planes, found, {"masses": _masses(found, planes)})


def save(door: TheDoor, user: TheUser, image: str, meta: Meta, mask: Mask) -> dict[str, Any]:
    """Submit a label; its author is who is logged in."""
    planes, sent = _planes(door, image), _sent(meta, mask)
    found = sent.label(door, planes)
    with request_folder(door.settings.upload_megavoxels) as folder:
        path = _kept(found, folder.path)
        label_id = door.app.datastore().save_label(planes.image_id, path, FINAL, authored(sent.told, user.name))
    door.app.on_save_label(planes.image_id, label_id)
    door.metrics.saved_label()
    return {"image": planes.image_id, "label": label_id, "masses": _masses(found, planes)}


def measure(door: TheDoor, image: str, meta: Meta, mask: Mask) -> dict[str, Any]:
    """Measure the masses of a label that is being drawn; nothing is kept."""
    planes = _planes(door, image)
    return {"masses": _masses(_sent(meta, mask).label(door, planes), planes)}


def _image(door: Door, sequence: str, planes: ImagePlanes) -> dict[str, Any]:
    datastore = door.app.datastore()
    shown = datastore.get_image_info(planes.image_id).get("strategy")
    sampled = [one for one in shown.values() if isinstance(one, dict)] if isinstance(shown, dict) else []
    latest: dict[str, Any] = max(sampled, key=lambda one: one.get("ts", 0), default={})
    return {
        "image": planes.image_id,
        "series": planes.series_uid,
        "sequence": sequence,
        "title": SEQUENCES[sequence].title if sequence in SEQUENCES else "",
        "labelled": FINAL in datastore.get_labels_by_image_id(planes.image_id),
        "reason": str(latest.get("reason") or ""),
        "keys": list(planes.keys),
    }


def _mirror(door: Door) -> PacsMirror:
    """The copy of the PACS."""
    found: PacsMirror | None = door.app.mirror
    if found is None:
        msg = "the studies are a folder, which the viewer cannot show; expected a PACS: --studies http://.../dicom-web"
        raise UnknownImageError(msg)
    return found


def _planes(door: Door, image: str) -> ImagePlanes:
    found: ImagePlanes | None = _mirror(door).planes.find(image)
    if found is None:
        msg = "no image of the PACS has this id; expected one that /datastore lists"
        raise UnknownImageError(msg)
    return found


def _sent(meta: str, mask: UploadFile) -> _Sent:
    told = json_object(meta, "meta")
    keys = told.pop("keys", None)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        msg = f"the slices' names are {type(keys).__name__}; expected keys, a list of texts"
        raise BadRequestError(msg)
    return _Sent(told=told, keys=keys, payload=mask.file.read())


def _clicked(door: Door, told: Mapping[str, Any], planes: ImagePlanes) -> dict[str, Any]:
    """Clicks as the click model takes them: by structure, in voxels of the image's file."""
    grid = door.app.datastore().store.grid(planes.image_id)
    found: dict[str, dict[str, list[list[int]]]] = {}
    for click in told.get("clicks") or []:
        if not isinstance(click, Mapping) or click.get("structure") not in STRUCTURES:
            msg = f"a click names no structure; expected one of: {', '.join(STRUCTURES)}"
            raise BadRequestError(msg)
        of_structure = found.setdefault(str(click["structure"]), {"foreground": [], "background": []})
        of_structure["foreground" if click.get("foreground") else "background"].append(voxel(click, planes, grid))
    return dict(found)


def _kept(found: Volume, folder: Path) -> str:
    path = folder / _LABEL
    write_volume(found, path)
    return str(path)


def _propose(door: Door, planes: ImagePlanes, request: dict[str, Any]) -> Response:
    result = door.app.infer(request)
    path = Path(result["file"])
    try:
        found = read_label(path)
    finally:
        path.unlink(missing_ok=True)
    door.metrics.proposed(request["model"])
    masses = _placed(result["params"].get("masses", []), found, planes)
    return _answer(planes, found, {**result["params"], "masses": masses})


def _answer(planes: ImagePlanes, found: Volume, told: Mapping[str, Any]) -> Response:
    meta = json.dumps({**told, "image": planes.image_id, "keys": planes.keys})
    parts = MultipartEncoder(
        {
            "meta": (None, meta, "application/json"),
            "mask": ("mask.gz", packed(found, planes), "application/gzip"),
        }
    )
    return Response(parts.to_string(), media_type=parts.content_type, headers={"Cache-Control": "no-store"})


def _masses(found: Volume, planes: ImagePlanes) -> list[dict[str, Any]]:
    return _placed([asdict(mass) for mass in measure_masses(found)], found, planes)


def _placed(masses: Sequence[Mapping[str, Any]], found: Volume, planes: ImagePlanes) -> list[dict[str, Any]]:
    """Masses, largest first, each with the slice that shows most of it, for the viewer to go there."""
    numbered, _ = components_by_size(lay_on(found, planes.grid).data == MASS)
    shares = [np.count_nonzero(numbered == number, axis=(0, 1)) for number in range(1, len(masses) + 1)]
    return [{**mass, "key": planes.keys[int(share.argmax())]} for mass, share in zip(masses, shares, strict=True)]
