"""The store: images and every version of every label of a cohort folder, for the server, training and commands at once.

Order of saving a label: its version's file (fsync), then one transaction, then the copy in ``labels/<tag>/`` that
other programs read. What was answered is in the first two; the third is repaired after a crash. Lock order: the
folder's lock, then the database's, then the audit log's.
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

from sqlalchemy import ColumnElement, Select, delete, select, update
from sqlalchemy.orm import Session

from lib.domain.audit import LABEL_ACCEPTED, LABEL_REMOVED, AuditEvent
from lib.domain.cohort import study_number
from lib.domain.drawn import DRAWN, drawn_structures
from lib.domain.errors import BadRequestError, RenalError, UnknownImageError
from lib.domain.records import LabelledImage, LabelVersion
from lib.imaging.volume import Volume, read_label, volume_bytes, write_bytes
from lib.store.folder import checked_tag
from lib.store.images import ImageStore
from lib.store.index import HeadRow, ImageRow, ProposalRow, QualityRow, VersionRow, storage_errors
from lib.store.labels import checked_label
from lib.store.listing import counts, shown_images, shown_labels
from lib.store.sync import FOLDER, add_versions, heads, label_event, show, version_file

logger = logging.getLogger(__name__)

FINAL = "final"
_THE_READER = ("author", "user", "reader")  # what clients call the person who sends a label
_NOTED_AT_ONCE = 100
_EVERY_VALUE = frozenset(range(256))


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
        which = (HeadRow.image_id == image_id) & (HeadRow.tag == checked_tag(tag))
        with self.index.read() as session:
            return shown_labels(session, which).get(image_id, {}).get(tag, {})

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
        label = self.label(image_id, tag)
        with storage_errors(), self.folder.lock:
            with self.index.write() as session:
                session.execute(delete(HeadRow).where((HeadRow.image_id == image_id) & (HeadRow.tag == tag)))
                about = {"image_id": image_id, "tag": tag, "number": label.number, "sha256": label.sha256}
                self._record_events([AuditEvent(who="client", what=LABEL_REMOVED, about=about)])
            for path in (self.folder.label(tag, image_id), self.folder.label_record(tag, image_id)):
                path.unlink(missing_ok=True)

    def labelled(self, code: str) -> list[LabelledImage]:
        """Final labels of one sequence, with what was drawn in each: what a training run may use.

        A label that was found in the folder is checked now; one that does not fit its image is left out, and said.
        """
        return sorted(self._usable(ImageRow.sequence == code), key=lambda one: one.image_id)

    def examined_with(self, image_id: str) -> list[LabelledImage]:
        """Final labels on the other images of the same examination, the newest first.

        Raises:
            UnknownImageError: When no image has this id.
        """
        row = self.image(image_id)
        same = (ImageRow.patient_id == row.patient_id) & (ImageRow.study == row.study)
        found = self._usable(same & (ImageRow.image_id != image_id))
        return [one for one in found if study_number(one.image_id) == study_number(image_id)]

    def _usable(self, which: ColumnElement[bool]) -> list[LabelledImage]:
        """Final labels of some images that fit them, the newest first."""
        self.follow()
        self._check_found(which)
        return [
            LabelledImage(
                image_id=image.image_id,
                patient_id=image.patient_id,
                image=self.folder.root / image.file,
                label=self.folder.version(version.file),
                drawn=frozenset(version.structures),
                vendor=image.vendor,
                scanner_model=image.scanner_model,
                label_sha256=version.sha256,
                proposed_by=version.model_version,
            )
            for image, version in self._finals(which)
            if version.structures is not None
        ]

    def record_proposal(
        self,
        image_id: str,
        task: str,
        model_version: str,
        *,
        expected_dice: float | None = None,
        distrust: bool = False,
    ) -> None:
        """Remember that a model proposed a label and what was expected of it; the reader's can be traced to it."""
        proposal = ProposalRow(image_id=image_id, task=task, model_version=model_version, created_ns=time.time_ns())
        with self.index.write() as session:
            session.add(proposal)
            session.flush()
            session.add(QualityRow(proposal_id=proposal.id, expected_dice=expected_dice, distrust=distrust))

    def counts(self) -> dict[str, Any]:
        """Images, and labels per tag."""
        self.follow()
        with self.index.read() as session:
            return counts(session)

    def listing(self) -> list[tuple[dict[str, Any], dict[str, dict[str, Any]]]]:
        """What is known of every image, and of its labels by tag."""
        self.follow()
        with self.index.read() as session:
            labels = shown_labels(session)
            images = shown_images(session, self.folder.root, ImageRow.present.is_(True))
            return [(image, labels.get(image["image_id"], {})) for image in images]

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
            add_versions(session, [version])
            self._record_events([label_event(LABEL_ACCEPTED, version)])  # last: a label that counts is on record

    def _show(self, tag: str, image_id: str) -> None:
        with self.index.read() as session:
            head = heads(session, {(tag, image_id)}).get((tag, image_id))
        before = self.folder.stamp()
        if head:
            show(self.folder, (tag, image_id), head)
        if self._seen == before:  # nobody else changed anything: no need to look at the whole folder again
            self._seen = self.folder.stamp()

    def _finals(self, which: ColumnElement[bool]) -> list[tuple[ImageRow, VersionRow]]:
        query = (
            select(ImageRow, VersionRow)
            .join(HeadRow, HeadRow.image_id == ImageRow.image_id)
            .join(VersionRow, VersionRow.id == HeadRow.version_id)
            .where(ImageRow.present & which & (HeadRow.tag == FINAL))
            .order_by(VersionRow.created_ns.desc(), ImageRow.image_id)
        )
        with self.index.read() as session:
            return [(image, version) for image, version in session.execute(query)]

    def _check_found(self, which: ColumnElement[bool]) -> None:
        """Check the labels that were found in the folder since the last time; a hundred in a transaction."""
        finals = self._finals(which)
        new = [(image, found) for image, found in finals if found.structures is None and found.refused is None]
        for start in range(0, len(new), _NOTED_AT_ONCE):
            notes = [(found.id, self._verdict(image, found)) for image, found in new[start : start + _NOTED_AT_ONCE]]
            with self.index.write() as session:
                for version_id, note in notes:
                    if note:
                        session.execute(update(VersionRow).where(VersionRow.id == version_id).values(**note))

    def _verdict(self, image: ImageRow, found: VersionRow) -> dict[str, Any]:
        """What to note of a found label; nothing of one whose renumbered or turned successor counts from now on."""
        file = self.folder.version(found.file)
        try:
            label, drawn = checked_label(file, self.measure(image), found.info, integers=False)
        except RenalError as error:
            refused = f"{type(error).__name__}: {error}"
            logger.warning("a label found in the cohort folder is left out of training: %s", refused)
            return {"refused": refused}
        if _holds(file, label):
            return {"structures": sorted(drawn)}
        self._save(label, drawn, found.image_id, found.tag, found.info, FOLDER)
        return {}

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
