"""``/pacs``: which images of the PACS the cohort's images were made from, and how the exchange with it goes."""

from __future__ import annotations

from typing import Any

from lib.domain.errors import BadRequestError, UnknownImageError
from lib.pacs.mirror import PacsMirror
from lib.pacs.planes import ImagePlanes, shown
from lib.store.cohort import FINAL
from lib.web.door import Door, TheDoor


def image(door: TheDoor, image: str) -> dict[str, Any]:
    """Read which SOP instances an image was made from, slice by slice."""
    planes = _mirror(door).planes.find(image)
    if planes is None:
        msg = "no image of the PACS has this id; expected one that /datastore lists"
        raise UnknownImageError(msg)
    return _shown(door, planes)


def study(door: TheDoor, study: str = "", image: str = "") -> dict[str, Any]:
    """Read which images a study has here, by its UID or by one of its images."""
    mirror = _mirror(door)
    planes = mirror.planes.find(image) if image else None
    uid = planes.study_uid if planes else study
    if not uid:
        msg = "there is no study; expected the parameter study (its UID), or image (one of its images)"
        raise BadRequestError(msg)
    here = set(door.app.datastore().list_images())
    return {"study": uid, "images": [_listed(door, one) for one in mirror.planes.of_study(uid) if one.image_id in here]}


def status(door: TheDoor) -> dict[str, Any]:
    """Read how the exchange with the PACS goes."""
    return _mirror(door).status()


def _mirror(door: Door) -> PacsMirror:
    found: PacsMirror | None = door.app.mirror
    if found is None:
        msg = "the studies are a folder; expected a server on a PACS (--studies http://.../dicom-web)"
        raise UnknownImageError(msg)
    return found


def _shown(door: Door, planes: ImagePlanes) -> dict[str, Any]:
    store = door.app.datastore().store
    return {**shown(planes, store.grid(planes.image_id)), "sequence": store.image(planes.image_id).sequence}


def _listed(door: Door, planes: ImagePlanes) -> dict[str, Any]:
    store = door.app.datastore().store
    row = store.image(planes.image_id)
    return {
        "image": planes.image_id,
        "series": planes.series_uid,
        "sequence": row.sequence,
        "patient_id": row.patient_id,
        "labelled": bool(store.label_info(planes.image_id, FINAL)),
    }
