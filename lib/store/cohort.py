"""The store: images and every version of every label of a cohort folder, for the server, training and commands at once.

Order of saving a label: its version's file (fsync), then one transaction, then the copy in ``labels/<tag>/`` that
other programs read. What was answered is in the first two; the third is repaired after a crash. Lock order: the
folder's lock, then the database's.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, func, select, update
from sqlalchemy.orm import Session

from lib.domain.drawn import DRAWN, drawn_structures
from lib.domain.errors import BadRequestError, RenalError, UnknownImageError
from lib.domain.records import LabelledImage, LabelVersion
from lib.imaging.volume import Volume, read_label, volume_bytes, write_bytes
from lib.store.folder import checked_tag
from lib.store.images import ImageStore
from lib.store.index import HeadRow, ImageRow, ProposalRow, VersionRow, storage_errors
from lib.store.labels import checked_label
from lib.store.sync import FOLDER, add_version, heads, show, version_file

logger = logging.getLogger(__name__)

FINAL = "final"
_THE_READER = ("author", "user", "reader")  # what clients call the person who sends a label
_EVERY_VALUE = frozenset(range(256))
_LISTED = [column for column in ImageRow.__table__.columns if column.name not in ("shape", "affine")]
_SHOWN = (
    VersionRow.image_id,
    VersionRow.number,
    VersionRow.sha256,
    VersionRow.source,
    VersionRow.author,
    VersionRow.model_version,
    VersionRow.minutes,
    VersionRow.info,
)


class CohortStore(ImageStore):
    """An ImageStore with every version of every label."""

    def labelled_ids(self, tag: str = FINAL) -> list[str]:
        """Ids of the images that have a label, sorted."""
        return self._ids(ImageRow.present & has_label(checked_tag(tag)))

    def unlabelled_ids(self, tag: str = FINAL) -> list[str]:
        """Ids of the images that have none, sorted."""
        return self._ids(ImageRow.present & ~has_label(checked_tag(tag)))

    def remove_image(self, image_id: str) -> None:
        """Take an image and its labels out of the cohort; files and versions are kept in ``.renal``.

        Raises:
            UnknownImageError: When no image has this id.
        """
        row = self.image(image_id)
        for version in self.versions(image_id):
            if version.final:
                self.remove_label(image_id, version.tag)
        self._take_out(row)

    def save_label(
        self, image_id: str, file: Path, tag: str = FINAL, info: Mapping[str, Any] | None = None
    ) -> LabelVersion:
        """Accept a label only if it fits, as a new version that counts from now on.

        Args:
            image_id: Of an image of this folder.
            file: NIfTI file.
            tag: ``final`` for a reader's label.
            info: What the client tells: ``label_info``, ``structures``, ``minutes``, ``author``, ``model_version`` …

        Raises:
            UnknownImageError: When no image has this id.
            BadLabelError: When values are outside the table.
            GeometryError: When it does not lie on the image's grid.
            BadRequestError: When tag or parameters cannot be understood.
            StorageFullError: When there is no room; nothing is kept then.
        """
        told = dict(info or {})
        label, drawn = checked_label(file, self.grid(image_id), told)
        return self._record(self._save(label, drawn, image_id, checked_tag(tag), told, "client"), final=True)

    def versions(self, image_id: str, tag: str | None = None) -> list[LabelVersion]:
        """Every version of an image's labels, oldest first.

        Raises:
            UnknownImageError: When no image has this id.
        """
        self.image(image_id)
        found = select(VersionRow).where(VersionRow.image_id == image_id).order_by(VersionRow.id)
        with self.index.read() as session:
            rows = session.scalars(found if tag is None else found.where(VersionRow.tag == tag)).all()
            count = set(session.scalars(select(HeadRow.version_id).where(HeadRow.image_id == image_id)))
        return [self._record(row, final=row.id in count) for row in rows]

    def label(self, image_id: str, tag: str = FINAL) -> LabelVersion:
        """The version that counts.

        Raises:
            UnknownImageError: When there is no such image or label.
        """
        checked_tag(tag)
        for version in self.versions(image_id, tag):
            if version.final:
                return version
        msg = "there is no such label; expected the id of a labelled image and its tag"
        raise UnknownImageError(msg)

    def label_info(self, image_id: str, tag: str = FINAL) -> dict[str, Any]:
        """What is known of the label that counts; empty when there is none.

        Raises:
            UnknownImageError: When no image has this id.
        """
        self.image(image_id)
        with self.index.read() as session:
            row = session.scalar(_head_version(image_id, checked_tag(tag)))
        return _shown_info(row) if row else {}

    def merge_label_info(self, image_id: str, tag: str, info: Mapping[str, Any]) -> None:
        """Add a client's entries to the label that counts.

        Raises:
            UnknownImageError: When there is no such label.
            BadRequestError: When ``structures`` is not a list of names.
        """
        self.label(image_id, tag)
        with self.folder.lock:
            with self.index.write() as session:
                row = session.scalars(_head_version(image_id, tag)).one()
                row.info = {**row.info, **info}
                if DRAWN in info:
                    row.structures = sorted(drawn_structures(info))
            self._show(tag, image_id)

    def remove_label(self, image_id: str, tag: str = FINAL) -> None:
        """Let no version count; all of them are kept.

        Raises:
            UnknownImageError: When there is no such label.
        """
        self.label(image_id, tag)
        with storage_errors(), self.folder.lock:
            with self.index.write() as session:
                session.execute(delete(HeadRow).where((HeadRow.image_id == image_id) & (HeadRow.tag == tag)))
            for path in (self.folder.label(tag, image_id), self.folder.label_record(tag, image_id)):
                path.unlink(missing_ok=True)

    def labelled(self, code: str) -> list[LabelledImage]:
        """Final labels of one sequence, with what was drawn in each: what a training run may use.

        A label that was found in the folder is checked now; one that does not fit its image is left out, and said.
        """
        self.follow()
        with self.index.read() as session:
            rows = session.execute(
                select(ImageRow, VersionRow)
                .join(HeadRow, HeadRow.image_id == ImageRow.image_id)
                .join(VersionRow, VersionRow.id == HeadRow.version_id)
                .where(ImageRow.present & (ImageRow.sequence == code) & (HeadRow.tag == FINAL))
                .order_by(ImageRow.image_id)
            ).all()
        usable = [(image, self._usable(version)) for image, version in rows]
        return [
            LabelledImage(
                image_id=image.image_id,
                patient_id=image.patient_id,
                image=self.folder.root / image.file,
                label=self.folder.version(version.file),
                drawn=frozenset(version.structures or ()),
                vendor=image.vendor,
                scanner_model=image.scanner_model,
                label_sha256=version.sha256,
            )
            for image, version in usable
            if version
        ]

    def record_proposal(self, image_id: str, task: str, model_version: str) -> None:
        """Remember that a model proposed a label, so that the reader's can be traced to it."""
        with self.index.write() as session:
            session.add(
                ProposalRow(image_id=image_id, task=task, model_version=model_version, created_ns=time.time_ns())
            )

    def counts(self) -> dict[str, Any]:
        """Images, and labels per tag."""
        self.follow()
        labels = (
            select(HeadRow.tag, func.count())
            .join(ImageRow, ImageRow.image_id == HeadRow.image_id)
            .where(ImageRow.present)
            .group_by(HeadRow.tag)
        )
        with self.index.read() as session:
            total = session.scalar(select(func.count()).select_from(ImageRow).where(ImageRow.present)) or 0
            tags = dict(session.execute(labels).all())
        return {"total": total, "label_tags": tags}

    def listing(self) -> list[tuple[ImageRow, dict[str, dict[str, Any]]]]:
        """Every image with what is known of its labels, by tag; rows are read-only views."""
        self.follow()
        labels: dict[str, dict[str, dict[str, Any]]] = {}
        with self.index.read() as session:
            query = select(*_SHOWN, HeadRow.tag).join(HeadRow, HeadRow.version_id == VersionRow.id)
            for row in session.execute(query):
                labels.setdefault(row.image_id, {})[row.tag] = _shown_info(row)
            images = session.execute(select(*_LISTED).where(ImageRow.present).order_by(ImageRow.image_id)).all()
        return [(image, labels.get(image.image_id, {})) for image in images]  # type: ignore[misc]

    # ---- inside

    def _save(
        self, label: Volume, drawn: frozenset[str], image_id: str, tag: str, told: dict[str, Any], source: str
    ) -> VersionRow:
        payload = volume_bytes(label)
        created_ns, sha = time.time_ns(), hashlib.sha256(payload).hexdigest()
        name = version_file(image_id, tag, created_ns, sha, ".nii.gz")
        version = VersionRow(
            image_id=image_id,
            tag=tag,
            file=name,
            sha256=sha,
            size=len(payload),
            created_ns=created_ns,
            author=_first_text(told, _THE_READER),
            source=source,
            structures=sorted(drawn),
            minutes=_minutes(told),
            info={**told, DRAWN: sorted(drawn), "ts": created_ns // 1_000_000_000},
        )
        with storage_errors(), self.folder.lock:
            write_bytes(payload, self.folder.version(name))
            try:
                self._enter(version, str(told.get("model_version") or ""))
            except BaseException:
                self.folder.version(name).unlink(missing_ok=True)
                raise
            self._show(tag, image_id)
        return version

    def _enter(self, version: VersionRow, model_version: str) -> None:
        with self.index.write() as session:
            proposal = _last_proposal(session, version.image_id)
            if proposal and model_version in ("", proposal.model_version):
                version.proposal_id, version.model_version = proposal.id, proposal.model_version
            else:
                version.model_version = model_version
            add_version(session, version)

    def _show(self, tag: str, image_id: str) -> None:
        with self.index.read() as session:
            head = heads(session, {(tag, image_id)}).get((tag, image_id))
        before = self.folder.stamp()
        if head:
            show(self.folder, (tag, image_id), head)
        if self._seen == before:  # nobody else changed anything: no need to look at the whole folder again
            self._seen = self.folder.stamp()

    def _usable(self, version: VersionRow) -> VersionRow | None:
        """The version itself, or its renumbered or turned successor; None when it does not fit its image."""
        if version.structures is not None:
            return version
        if version.refused is not None:
            return None
        file = self.folder.version(version.file)
        try:
            label, drawn = checked_label(file, self.grid(version.image_id), version.info, integers=False)
        except RenalError as error:
            refused = f"{type(error).__name__}: {error}"
            logger.warning("a label found in the cohort folder is left out of training: %s", refused)
            self._note(version, refused=refused)
            return None
        if not _holds(file, label):
            return self._save(label, drawn, version.image_id, version.tag, version.info, FOLDER)
        self._note(version, structures=sorted(drawn))
        return version

    def _note(self, version: VersionRow, **values: Any) -> None:
        with self.index.write() as session:
            session.execute(update(VersionRow).where(VersionRow.id == version.id).values(**values))
        for name, value in values.items():
            setattr(version, name, value)

    def _record(self, row: VersionRow, *, final: bool) -> LabelVersion:
        return LabelVersion(
            image_id=row.image_id,
            tag=row.tag,
            number=row.number,
            final=final,
            path=self.folder.version(row.file),
            sha256=row.sha256,
            created=datetime.fromtimestamp(row.created_ns / 1e9, UTC),
            author=row.author,
            source="client" if row.source == "client" else "folder",
            structures=None if row.structures is None else frozenset(row.structures),
            model_version=row.model_version,
            minutes=row.minutes,
        )


def has_label(tag: str) -> ColumnElement[bool]:
    """Whether a version counts for an image under a tag, as a condition on ``ImageRow``."""
    return select(HeadRow).where((HeadRow.image_id == ImageRow.image_id) & (HeadRow.tag == tag)).exists()


def _head_version(image_id: str, tag: str) -> Select[VersionRow]:
    joined = select(VersionRow).join(HeadRow, HeadRow.version_id == VersionRow.id)
    return joined.where((HeadRow.image_id == image_id) & (HeadRow.tag == tag))


def _last_proposal(session: Session, image_id: str) -> ProposalRow | None:
    newest = ProposalRow.id.desc()
    return session.scalar(select(ProposalRow).where(ProposalRow.image_id == image_id).order_by(newest).limit(1))


def _holds(file: Path, label: Volume) -> bool:
    """Whether a file already says the same, voxel by voxel in the same order."""
    found = read_label(file, _EVERY_VALUE)
    return found.shape == label.shape and bool((found.data == label.data).all())


def _shown_info(row: VersionRow | Row[Any]) -> dict[str, Any]:
    facts = {"version": row.number, "sha256": row.sha256, "source": row.source}
    told = {"author": row.author, "model_version": row.model_version, "minutes": row.minutes}
    return {"name": f"{row.image_id}.nii.gz", **row.info, **facts, **{name: v for name, v in told.items() if v}}


def _first_text(told: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((text for name in names if isinstance(text := told.get(name), str) and text), "")


def _minutes(told: Mapping[str, Any]) -> float | None:
    """Minutes of annotation.

    Raises:
        BadRequestError: When they are no duration.
    """
    given = told.get("minutes")
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < math.inf:
        msg = f"minutes is {given!r}; expected the time spent as a number, zero or more"
        raise BadRequestError(msg)
    return float(given)
