"""The work list: which images wait for a label, who is labelling which, and who skipped what.

A lease keeps an image from everybody but its holder for half an hour, or until it is submitted or skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, delete, func, select, text
from sqlalchemy.orm import Session

from lib.domain.errors import LeasedError, UnknownImageError
from lib.domain.records import Candidate
from lib.store.cohort import FINAL, CohortStore, has_label
from lib.store.folder import Stamp, checked_tag
from lib.store.index import HeadRow, ImageRow, LeaseRow, ScoreRow, SkipRow

LEASE_S = 30 * 60.0
_SIZE = "size_mm"  # column of the cohort table
_SEEN = (
    ImageRow.image_id,
    ImageRow.patient_id,
    ImageRow.sequence,
    ImageRow.centre,
    ImageRow.scanner_model,
    ImageRow.clinical[_SIZE].as_string(),
    ScoreRow.uncertainty,
    ScoreRow.disagreement,
    ScoreRow.model_version,
)


State = tuple[Stamp, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What decides who may be given what.

    Attributes:
        holders: Who is labelling an image, by image id.
        open_patients: Patients whom the asking reader has open: of whom they hold an image, or were the last to label
            one within the time of a lease.
        skipped: Images that the asking reader skipped.
        skipped_by_others: Images that only others skipped.
    """

    holders: Mapping[str, str]
    open_patients: frozenset[str]
    skipped: frozenset[str]
    skipped_by_others: frozenset[str]


class WorkList:
    """Leases and skips of one cohort; every change is one transaction."""

    def __init__(self, store: CohortStore) -> None:
        self._store = store

    def candidates(self, tag: str = FINAL) -> list[Candidate]:
        """Images without a label, by id."""
        return self._seen(~has_label(checked_tag(tag)))

    def labelled(self, tag: str = FINAL) -> list[Candidate]:
        """Images with one, by id."""
        return self._seen(has_label(checked_tag(tag)))

    def state(self) -> State:
        """What images, labels and scores are like: the same again, the same candidates."""
        self._store.follow()
        with self._store.index.read() as session:
            scored = session.scalar(select(func.max(ScoreRow.created_ns)))
        return self._store.folder.stamp(), scored or 0

    def _seen(self, which: ColumnElement[bool]) -> list[Candidate]:
        self._store.follow()
        query = select(*_SEEN).outerjoin(ScoreRow, ScoreRow.image_id == ImageRow.image_id)
        query = query.where(ImageRow.present & which).order_by(ImageRow.image_id)
        with self._store.index.read() as session:
            return [
                Candidate(
                    image_id=image,
                    patient_id=patient,
                    sequence=sequence,
                    centre=centre,
                    scanner=scanner,
                    size=size or "",
                    uncertainty=uncertainty or {},
                    disagreement=disagreement or {},
                    model_version=version or "",
                )
                for image, patient, sequence, centre, scanner, size, uncertainty, disagreement, version in (
                    session.execute(query)
                )
            ]

    def images_of(self, patient_id: str, tag: str = FINAL) -> list[str]:
        """Ids of a patient's images, those without a label first.

        Raises:
            UnknownImageError: When there is none.
        """
        query = select(ImageRow.image_id).where(ImageRow.present & (ImageRow.patient_id == patient_id))
        with self._store.index.read() as session:
            images = list(session.scalars(query.order_by(has_label(checked_tag(tag)), ImageRow.image_id)))
        if not images:
            msg = "no image of such a patient; expected a patient_id of the cohort table"
            raise UnknownImageError(msg)
        return images

    def take(self, holder: str, choose: Callable[[Claims], str | None], without: str = "") -> str | None:
        """Choose an image and lease it, so that two who ask at once never get the same.

        Args:
            holder: Who asks.
            choose: Picks an image id from the claims, or None; called inside the transaction, so it must be quick.
            without: Tag; an image that got such a label meanwhile is passed over, and another one chosen.

        Raises:
            LeasedError: When the chosen image is held by somebody else.
        """
        now_s = time.time()
        with self._store.index.write() as session:
            _lock(session)
            session.execute(delete(LeaseRow).where(LeaseRow.until_s <= now_s))
            leases = {row.image_id: row for row in session.scalars(select(LeaseRow))}
            claims = _claims(session, leases, holder)
            while (chosen := choose(claims)) and without and session.get(HeadRow, (without, chosen)):
                claims = replace(claims, skipped=claims.skipped | {chosen})
            if chosen is None:
                return None
            held = leases.get(chosen)
            if held and held.holder != holder and not held.done:
                minutes = max(1, round((held.until_s - now_s) / 60))
                msg = f"somebody else is labelling that image; it is free again in at most {minutes} minutes"
                raise LeasedError(msg)
            session.merge(LeaseRow(image_id=chosen, holder=holder, until_s=now_s + LEASE_S, done=False))
            return chosen

    def claims(self, holder: str) -> Claims:
        """See who holds what, without asking for anything."""
        with self._store.index.read() as session:
            leases = session.scalars(select(LeaseRow).where(LeaseRow.until_s > time.time()))
            return _claims(session, {row.image_id: row for row in leases}, holder)

    def leases(self) -> list[tuple[str, str, float]]:
        """Who is labelling which image and until when, in seconds since 1970; the next to end first."""
        columns = (LeaseRow.image_id, LeaseRow.holder, LeaseRow.until_s)
        query = select(*columns).where((LeaseRow.until_s > time.time()) & ~LeaseRow.done).order_by(LeaseRow.until_s)
        with self._store.index.read() as session:
            return [(image, holder, until_s) for image, holder, until_s in session.execute(query)]

    def open_patients(self) -> list[str]:
        """Patients of whom somebody is labelling an image, the latest first."""
        query = select(ImageRow.patient_id).join(LeaseRow, LeaseRow.image_id == ImageRow.image_id)
        with self._store.index.read() as session:
            rows = session.scalars(query.where(LeaseRow.until_s > time.time()).order_by(LeaseRow.until_s.desc()))
            return list(dict.fromkeys(rows))

    def renew(self, image_id: str) -> None:
        """Activity on an image: whoever holds it keeps it for another half hour."""
        now_s = time.time()
        with self._store.index.write() as session:
            row = session.get(LeaseRow, image_id)
            if row and row.until_s > now_s:
                row.until_s = now_s + LEASE_S

    def release(self, image_id: str) -> None:
        """Let an image go: it was submitted. Its patient stays open for the reader for a while."""
        with self._store.index.write() as session:
            row = session.get(LeaseRow, image_id)
            if row:
                row.done, row.until_s = True, time.time() + LEASE_S

    def skip(self, image_id: str, holder: str, reason: str) -> None:
        """Note that a reader does not want an image, and let it go.

        Raises:
            UnknownImageError: When no image has this id.
        """
        self._store.image(image_id)
        with self._store.index.write() as session:
            session.add(SkipRow(image_id=image_id, holder=holder, reason=reason))
            session.execute(delete(LeaseRow).where((LeaseRow.image_id == image_id) & (LeaseRow.holder == holder)))


def _lock(session: Session) -> None:
    """One chooser at a time; SQLite's write transactions are so by themselves."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"LOCK TABLE {LeaseRow.__tablename__} IN SHARE ROW EXCLUSIVE MODE"))


def _claims(session: Session, leases: Mapping[str, LeaseRow], holder: str) -> Claims:
    skips = session.execute(select(SkipRow.image_id, SkipRow.holder)).all()
    own = frozenset(image for image, who in skips if who == holder)
    mine = select(ImageRow.patient_id).join(LeaseRow, LeaseRow.image_id == ImageRow.image_id)
    return Claims(
        holders={image: row.holder for image, row in leases.items() if not row.done},
        open_patients=frozenset(session.scalars(mine.where(LeaseRow.holder == holder))),
        skipped=own,
        skipped_by_others=frozenset(image for image, _ in skips) - own,
    )
