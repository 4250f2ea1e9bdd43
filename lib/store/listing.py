"""What clients are shown of images and labels: plain dictionaries, quick to make for ten thousand images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from lib.store.index import HeadRow, ImageRow, VersionRow
from lib.store.sync import IMPORT, PERSON, TABLE

_FACTS = ("image_id", "patient_id", "centre", "vendor", "scanner_model", "field_t")
_TOLD = ("author", "model_version", "minutes")
_STATED = (TABLE, IMPORT, PERSON)

# Columns of the tables, not of the mapped classes: a third quicker, and rows are taken apart, not asked by name.
_IMAGES, _HEADS, _VERSIONS = ImageRow.__table__.c, HeadRow.__table__.c, VersionRow.__table__.c


def shown_images(session: Session, root: Path, which: ColumnElement[bool]) -> Iterator[dict[str, Any]]:
    """What is known of some images, sorted by id; ``sequence`` is empty unless more than the name tells it."""
    told = (_IMAGES.clinical, _IMAGES.info, _IMAGES.file, _IMAGES.sequence, _IMAGES.recognised_by)
    query = select(*told, *(_IMAGES[name] for name in _FACTS)).where(which).order_by(_IMAGES.image_id)
    for clinical, info, file, sequence, by, *facts in session.connection().execute(query):
        shown = {**clinical, **info, **dict(zip(_FACTS, facts, strict=True))}
        shown["sequence"] = sequence if by in _STATED else ""
        shown["name"], shown["path"] = file, f"{root}/{file}"
        yield shown


def shown_labels(session: Session, which: ColumnElement[bool] | None = None) -> dict[str, dict[str, dict[str, Any]]]:
    """What is known of the labels that count, by image id and tag."""
    told = (_VERSIONS.info, _VERSIONS.number, _VERSIONS.sha256, _VERSIONS.source)
    query = select(_HEADS.image_id, _HEADS.tag, *told, *(_VERSIONS[name] for name in _TOLD))
    query = query.join_from(HeadRow.__table__, VersionRow.__table__, _VERSIONS.id == _HEADS.version_id)
    labels: dict[str, dict[str, dict[str, Any]]] = {}
    rows = session.connection().execute(query if which is None else query.where(which))
    for image_id, tag, info, number, sha256, source, *client in rows:
        facts = {"version": number, "sha256": sha256, "source": source}
        said = {name: value for name, value in zip(_TOLD, client, strict=True) if value}
        labels.setdefault(image_id, {})[tag] = {"name": f"{image_id}.nii.gz", **info, **facts, **said}
    return labels


def origin(row: ImageRow) -> dict[str, Any]:
    """How an image's sequence was recognised, with an import's reason; and its study, where an import says it."""
    study = {"study": row.study, "study_date": row.study_date} if row.study else {}
    return {**study, "recognised": {"code": row.sequence, "by": row.recognised_by, **(row.recognition or {})}}


def counts(session: Session) -> dict[str, Any]:
    """Images, and labels per tag."""
    labels = (
        select(HeadRow.tag, func.count())
        .join(ImageRow, ImageRow.image_id == HeadRow.image_id)
        .where(ImageRow.present)
        .group_by(HeadRow.tag)
    )
    total = session.scalar(select(func.count()).select_from(ImageRow).where(ImageRow.present)) or 0
    return {"total": total, "label_tags": dict(session.execute(labels).all())}
