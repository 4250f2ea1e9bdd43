"""MONAI Label's own index, ``datastore_v2.json``: what it knows is taken over once; the file stays as it is."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from lib.store.folder import CohortFolder
from lib.store.index import HeadRow, ImageRow, Index, MarkRow, VersionRow, is_marked

logger = logging.getLogger(__name__)

LEGACY_INDEX = "datastore_v2.json"
_DONE = "legacy index"


def import_legacy(index: Index, folder: CohortFolder) -> None:
    """Take over what clients stored about images and labels that the folder holds."""
    path = folder.root / LEGACY_INDEX
    with index.read() as session:
        if is_marked(session, _DONE) or not path.is_file():
            return
    try:
        objects = json.loads(path.read_text("utf-8"))["objects"]
    except (ValueError, KeyError, TypeError):
        logger.warning("%s cannot be read and is left aside: images and labels are taken from the folder", LEGACY_INDEX)
        return
    with index.write() as session:
        if not is_marked(session, _DONE):
            taken = sum(_take_over(session, image_id, entry) for image_id, entry in _entries(objects))
            session.add(MarkRow(name=_DONE, value=str(taken)))
            logger.info("%s: taken over for %d images", LEGACY_INDEX, taken)


def _entries(objects: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for image_id, entry in objects.items() if isinstance(objects, Mapping) else ():
        if isinstance(entry, Mapping):
            yield image_id, entry


def _take_over(session: Session, image_id: str, entry: Mapping[str, Any]) -> bool:
    image = session.get(ImageRow, image_id)
    if image is None:
        return False
    image.info = {**_info(entry.get("image")), **image.info}
    labels = entry.get("labels")
    for tag, label in labels.items() if isinstance(labels, Mapping) else ():
        version = session.scalar(
            select(VersionRow)
            .join(HeadRow, HeadRow.version_id == VersionRow.id)
            .where((HeadRow.image_id == image_id) & (HeadRow.tag == tag) & VersionRow.structures.is_(None))
        )
        if version:
            version.info = {**_info(label), **version.info}
    return True


def _info(entry: object) -> dict[str, Any]:
    found = entry.get("info") if isinstance(entry, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}
