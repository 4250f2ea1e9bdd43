"""Bring the index in line with the folder: new images, an edited table, labels that were put there by hand.

What the index says about a label wins over the file that shows it: a file that holds an earlier version, or none, is
what a crash between two steps leaves behind, and is written again. A file with unknown content is a new version.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from lib.domain.audit import LABEL_FOUND, AuditEvent, Record
from lib.domain.cohort import record_of
from lib.domain.ledger import DECIDED, SeriesRow
from lib.domain.records import CaseRecord
from lib.imaging.sidecar import read_object
from lib.imaging.volume import write_bytes
from lib.store.folder import CohortFolder
from lib.store.index import HeadRow, ImageRow, Index, VersionRow

logger = logging.getLogger(__name__)

TABLE, NAME, IMPORT, PERSON = "table", "name", "import", "person"  # what or who told the sequence of an image
FOLDER = "folder"  # where a label came from
_AT_ONCE = 16  # label files that are copied at the same time
_FEW = 500  # so many ids are named in a query; for more, the whole table is read
_FACTS = ("patient_id", "sequence", "centre", "vendor", "scanner_model", "field_t", "clinical")
_WHY = ("rule", "confidence", "runner_up", "reason")
LabelKey = tuple[str, str]  # (tag, image id)


def follow_images(index: Index, folder: CohortFolder) -> None:
    """Add, change and hide rows of images until they say what folder and table say.

    Raises:
        BadCohortError: When the table cannot be used; nothing is changed then.
    """
    files, table, imports = folder.images(), folder.table(), folder.imports()
    wanted = {name: _row(name, file, table.get(name), imports.get(name)) for name, file in files.items()}
    with index.read() as session:
        known = {row["image_id"]: row for row in _known_images(session)}
    new = [row for image_id, row in wanted.items() if image_id not in known]
    changed = [row for image_id, row in wanted.items() if image_id in known and row != known[image_id]]
    gone = [image_id for image_id, row in known.items() if row["present"] and image_id not in wanted]
    if not (new or changed or gone):
        return
    with folder.lock, index.write() as session:
        there = set(session.scalars(select(ImageRow.image_id)))
        _insert_all(session, [row for row in new if row["image_id"] not in there])
        for rows in (changed, [{"image_id": image_id, "present": False} for image_id in gone]):
            if rows:
                session.execute(update(ImageRow), rows)


def _row(image_id: str, file: str, stated: CaseRecord | None, series: SeriesRow | None) -> dict[str, Any]:
    """What table, record of imports and name tell of an image; a sequence that the table changed is the table's."""
    record = stated or record_of(image_id)
    recognised = series if series and series.code == record.sequence else None
    return {
        "image_id": image_id,
        "file": file,
        "present": True,
        "study": series.study if series else "",
        "study_date": series.study_date if series else "",
        "recognised_by": _told_by(record, stated, recognised),
        "recognition": {name: getattr(recognised, name) for name in _WHY} if recognised else None,
        **{name: getattr(record, name) for name in _FACTS},
        "clinical": dict(record.clinical),
    }


def _told_by(record: CaseRecord, stated: CaseRecord | None, recognised: SeriesRow | None) -> str:
    if recognised:
        return PERSON if recognised.rule == DECIDED else IMPORT
    if stated and stated.sequence:
        return TABLE
    return NAME if record.sequence else ""


def _known_images(session: Session) -> list[dict[str, Any]]:
    names = ("image_id", "file", "present", "study", "study_date", "recognised_by", "recognition", *_FACTS)
    rows = session.execute(select(*(getattr(ImageRow, name) for name in names)))
    return [dict(zip(names, row, strict=True)) for row in rows]


def _insert_all(session: Session, rows: list[dict[str, Any]]) -> None:
    if rows:
        session.execute(insert(ImageRow), rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The version that counts, as the index has it."""

    file: str
    info: Mapping[str, Any]
    created_ns: int


def heads(session: Session, keys: Collection[LabelKey]) -> dict[LabelKey, Head]:
    """Labels that count among some, by (tag, image id)."""
    images = {image_id for _, image_id in keys}
    columns = (HeadRow.tag, HeadRow.image_id, VersionRow.file, VersionRow.info, VersionRow.created_ns)
    query = select(*columns).join(VersionRow, VersionRow.id == HeadRow.version_id)
    few = query.where(HeadRow.image_id.in_(images)) if len(images) <= _FEW else query
    return {
        (tag, image_id): Head(file=file, info=info, created_ns=created)
        for tag, image_id, file, info, created in session.execute(few)
        if (tag, image_id) in keys
    }


def follow_labels(index: Index, folder: CohortFolder, record: Record) -> None:
    """Take in label files that are new, put that on record; show again what the index says where a file does not."""
    with index.read() as session:
        odd = _odd_labels(session, folder)
    if not odd:
        return
    with folder.lock:
        with index.read() as session:
            odd = _odd_labels(session, folder)
            known = heads(session, odd)
            former = _former_contents(session, odd)
        new = []
        for key in sorted(odd):
            path, head = folder.label(*key), known.get(key)
            if head and (not path.is_file() or (*key, _sha256(path)) in former):
                show(folder, key, head)
            elif path.is_file():
                new.append((key, path))
        if new:
            _take_in(index, folder, new, record)


def _take_in(index: Index, folder: CohortFolder, new: Sequence[tuple[LabelKey, Path]], record: Record) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # most of the time is spent waiting until the disk has it
        found = list(pool.map(lambda one: _found(folder, *one), new))
    with index.write() as session:
        add_versions(session, found)
        record([label_event(LABEL_FOUND, version) for version in found])
    logger.info("%d labels were found in the cohort folder", len(found))


def _odd_labels(session: Session, folder: CohortFolder) -> set[LabelKey]:
    """Labels whose file is not what the index last put there; images without a row are none of ours."""
    columns = (HeadRow.tag, HeadRow.image_id, VersionRow.size, VersionRow.created_ns)
    rows = session.execute(select(*columns).join(VersionRow, VersionRow.id == HeadRow.version_id))
    said = {((tag, image_id), size, created) for tag, image_id, size, created in rows}
    shown = {(key, stat.st_size, stat.st_mtime_ns) for key, stat in folder.labels().items()}
    odd = {key for key, _, _ in said ^ shown}
    if not odd:
        return odd
    present = set(session.scalars(select(ImageRow.image_id).where(ImageRow.present)))
    return {key for key in odd if key[1] in present}


def _former_contents(session: Session, keys: Collection[LabelKey]) -> set[tuple[str, str, str]]:
    """Contents (tag, image id, sha256) that some labels have had."""
    if not keys:
        return set()
    rows = session.execute(select(VersionRow.tag, VersionRow.image_id, VersionRow.sha256))
    return {(tag, image_id, sha) for tag, image_id, sha in rows if (tag, image_id) in keys}


def show(folder: CohortFolder, key: LabelKey, head: Head) -> None:
    """Put the version that counts where other programs look for it; its time stamp says which version it is."""
    tag, image_id = key
    source, former = folder.version(head.file), folder.label(tag, image_id)
    path = former.with_name(image_id + source.name[source.name.index(".") :])
    try:
        write_bytes(json.dumps(dict(head.info), default=str).encode(), folder.label_record(tag, image_id))
        write_bytes(source.read_bytes(), path, modified_ns=head.created_ns)
        if former != path:
            former.unlink(missing_ok=True)
    except OSError as error:  # the version itself is safe; the next look at the folder tries again
        logger.warning("a label could not be shown in the cohort folder (%s)", error.strerror)


def _found(folder: CohortFolder, key: LabelKey, path: Path) -> VersionRow:
    """Keep a file that somebody put there as a version. It is checked when it is first used."""
    tag, image_id = key
    stat, payload = path.stat(), path.read_bytes()
    sha = hashlib.sha256(payload).hexdigest()
    file = version_file(image_id, tag, stat.st_mtime_ns, sha, path.name.removeprefix(image_id))
    write_bytes(payload, folder.version(file))
    return VersionRow(
        image_id=image_id,
        tag=tag,
        file=file,
        sha256=sha,
        size=stat.st_size,
        created_ns=stat.st_mtime_ns,
        source=FOLDER,
        info=read_object(folder.label_record(tag, image_id)),
    )


def version_file(image_id: str, tag: str, created_ns: int, sha256: str, suffix: str) -> str:
    """Name of a version's file, below the folder of versions."""
    return f"{image_id}/{tag}-{created_ns}-{sha256[:12]}{suffix}"


def add_versions(session: Session, versions: Sequence[VersionRow]) -> None:
    """Number versions, of one label each, and make them the ones that count."""
    images = {version.image_id for version in versions}
    numbers = select(VersionRow.tag, VersionRow.image_id, func.max(VersionRow.number))
    numbers = numbers.group_by(VersionRow.tag, VersionRow.image_id)
    counting = select(HeadRow.tag, HeadRow.image_id)
    if len(images) <= _FEW:
        numbers = numbers.where(VersionRow.image_id.in_(images))
        counting = counting.where(HeadRow.image_id.in_(images))
    last = {(tag, image_id): number for tag, image_id, number in session.execute(numbers)}
    known = {(tag, image_id) for tag, image_id in session.execute(counting)}
    for version in versions:
        version.number = last.get((version.tag, version.image_id), 0) + 1
    session.add_all(versions)
    session.flush()
    rows = [{"tag": one.tag, "image_id": one.image_id, "version_id": one.id} for one in versions]
    for statement, is_known in ((insert(HeadRow), False), (update(HeadRow), True)):
        if chosen := [row for row in rows if ((row["tag"], row["image_id"]) in known) == is_known]:
            session.execute(statement, chosen)


def label_event(what: str, version: VersionRow) -> AuditEvent:
    """What goes on record of a label version; the image's id is a pseudonym."""
    about = {
        "image_id": version.image_id,
        "tag": version.tag,
        "number": version.number,
        "sha256": version.sha256,
        "model_version": version.model_version or "",
    }
    return AuditEvent(who=version.author or version.source, what=what, about=about)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
