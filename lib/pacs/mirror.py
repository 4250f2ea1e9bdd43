"""A cohort folder that follows a PACS: what is new there becomes images and labels, new labels are stored there.

A round runs in one thread: labels out, studies in, SEGs in. Each step notes what it did once it is done, so that a
server that is killed, or a PACS that goes away, is followed by the same step again.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from lib.domain.errors import (
    ArchiveError,
    BadDicomError,
    BadImageError,
    BadLabelError,
    BadRequestError,
    RenalError,
    UnknownImageError,
)
from lib.domain.ledger import IMPORTED, SeriesRow, read_ledger
from lib.domain.records import LabelVersion
from lib.domain.sequences import OTHER
from lib.ingest.cohort_writer import CohortWriter
from lib.ingest.decisions import read_decisions
from lib.ingest.pseudonym import Pseudonyms, open_key
from lib.pacs.archive import Archive, FoundSeries
from lib.pacs.exchange import image_of, series_of, store_label, take_segmentation
from lib.pacs.notes import Notes
from lib.pacs.planes import ImagePlanes, PlanesFolder
from lib.pacs.taking import take_study
from lib.store.cohort import FINAL, CohortStore

logger = logging.getLogger(__name__)

_MR, _SEG = "MR", "SEG"
_UID_SIGNS = frozenset("0123456789.")
_LONGEST_PAUSE_S = 3600.0
_AT_ONCE = 20  # studies
_FAILURES = 3  # of so many studies at once, before the PACS is left alone for this round
_DECISIONS = "decisions"  # in the notes of studies, beside their UIDs
_NOT_YET = {"done": False, "image": "", "label": 0, "why": "its series is no image here"}
_REFUSALS = (BadDicomError, BadLabelError, BadImageError)
Counts = dict[str, int | None]  # images by series UID; None where the PACS does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorRule:
    """When and what is exchanged; settings ``pacs_...``.

    Attributes:
        every_s: Seconds between two looks at the PACS.
        settle_s: Seconds that a study must not have changed before it is taken: its series arrive one by one.
        store: Whether labels are stored in the PACS, ``on`` or ``off``.

    Raises:
        BadRequestError: When a figure is out of range.
    """

    every_s: float = 10.0
    settle_s: float = 20.0
    store: str = "on"

    def __post_init__(self) -> None:
        if not (0 < self.every_s < float("inf") and 0 <= self.settle_s < float("inf")):
            msg = "pacs_every_s or pacs_settle_s is no time; expected seconds, more than 0 and 0 or more"
            raise BadRequestError(msg)
        if self.store not in ("on", "off"):
            msg = f"setting pacs_store is {self.store!r}; expected 'on' or 'off'"
            raise BadRequestError(msg)


@dataclass(slots=True)
class _Patience:
    """What failed is tried again, after a pause that doubles."""

    first_s: float
    _failures: dict[str, tuple[int, float, str]] = field(default_factory=dict)

    def is_due(self, name: str) -> bool:
        return time.monotonic() >= self._failures.get(name, (0, 0.0, ""))[1]

    def failed(self, name: str, reason: str) -> None:
        count = self._failures.get(name, (0, 0.0, ""))[0] + 1
        pause_s = min(self.first_s * 2 ** min(count, 20), _LONGEST_PAUSE_S)
        self._failures[name] = (count, time.monotonic() + pause_s, reason)

    def done(self, name: str) -> None:
        self._failures.pop(name, None)

    def reason(self, name: str) -> str:
        return self._failures.get(name, (0, 0.0, ""))[2]

    def reasons(self) -> list[str]:
        return [reason for _, _, reason in list(self._failures.values())]


class PacsMirror:
    """One PACS and what is kept of it."""

    def __init__(self, archive: Archive, folder: Path, *, centre: str, rule: MirrorRule) -> None:
        """Nothing is asked before ``round``.

        Args:
            archive: The PACS.
            folder: What is kept: ``cohort`` (safe to pass on), and beside it the key and what leads back to patients.
            centre: Name that stands for the hospital.
            rule: When and what is exchanged.
        """
        self.rule = rule
        self.cohort = folder / "cohort"
        self._archive, self._folder, self._centre = archive, folder, centre
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.cohort.mkdir(exist_ok=True)
        self.planes = PlanesFolder(folder / "planes")
        self._studies = Notes(folder / "studies.json")
        self._segmentations = Notes(folder / "segmentations.json")
        self._seg_series = Notes(folder / "seg-series.json")
        self._stored = Notes(folder / "stored.json")
        self._settling: dict[str, tuple[Counts | None, float]] = {}
        self._late = _Patience(rule.every_s)
        self._unsent = _Patience(rule.every_s)
        self._waiting: dict[str, str] = {}
        self._looked, self._error = "", "the PACS has not been asked yet"

    # ---- what clients ask

    def image_id(self, name: str) -> str:
        """The id of an image that a client names by its id or by its series' UID.

        Raises:
            UnknownImageError: When the series became no image.
            BadRequestError: When it became several.
        """
        if not name or not _UID_SIGNS.issuperset(name) or "." not in name:
            return name
        images = [one.image_id for one in self.planes.of_series(name)]
        if len(images) == 1:
            return images[0]
        if not images:
            msg = "no image was made of this series; GET /pacs/status tells why series were not taken"
            raise UnknownImageError(msg)
        msg = f"the series became {len(images)} images; expected one of their ids: {', '.join(images)}"
        raise BadRequestError(msg)

    def status(self) -> dict[str, Any]:
        """How the exchange goes, without a UID."""
        rows = read_ledger(self.cohort).rows.values()
        found = list(self._segmentations.values())
        refused = [one for one in found if one["done"] and not one["label"]]
        return {
            "looked": self._looked,
            "error": self._error,
            "series": dict(Counter(row.status for row in rows)),
            "not_taken": [
                {"series": row.series, "patient_id": row.patient, "description": row.description, "why": row.why}
                for row in rows
                if row.status not in (IMPORTED, OTHER)
            ],
            "studies_late": len(self._late.reasons()),
            "why_late": sorted(set(self._late.reasons())),
            "labels_stored": len(self._stored),
            "labels_waiting": [{"image": name, "why": why} for name, why in sorted(self._waiting.items())],
            "segmentations_taken": sum(bool(one["label"]) for one in found),
            "segmentations_elsewhere": sum(not one["done"] for one in found),
            "segmentations_refused": [{"image": one["image"], "why": one["why"]} for one in refused],
        }

    # ---- the round

    def round(self, store: CohortStore) -> None:
        """Exchange what is new.

        Raises:
            ArchiveError: When the PACS fails; what was not done is done by a later round.
            BadKeyError: When another server works on this folder.
        """
        with self._noting_errors(), open_key(self._folder / "pseudonyms.key", self.cohort) as key:
            names = Pseudonyms(key=key, centre=self._centre)
            try:
                listed = self._archive.series(_MR)
            except ArchiveError as error:
                self._waiting = dict.fromkeys((one.image_id for one in self._unstored(store)), str(error))
                raise
            self._send(store, names)
            self._take_studies(listed, store, names)
            self._take_segmentations(store, names)

    @contextmanager
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except RenalError as error:
            self._error = str(error)
            raise
        self._error, self._looked = "", datetime.now(UTC).isoformat(timespec="seconds")

    def _unstored(self, store: CohortStore) -> list[ImagePlanes]:
        """Images with a label that the PACS does not have yet."""
        if self.rule.store != "on":
            return []
        finals = {image["image_id"]: labels[FINAL]["sha256"] for image, labels in store.listing() if FINAL in labels}
        new = [name for name, sha in finals.items() if self._stored.get(name, {}).get("sha256") != sha]
        return [planes for name in new if (planes := self.planes.find(name))]

    def _send(self, store: CohortStore, names: Pseudonyms) -> None:
        """Store the labels that the PACS does not have yet."""
        waiting: dict[str, str] = {}
        for planes in self._unstored(store):
            if not self._patiently(self._unsent, planes.image_id, partial(self._send_one, store, planes, names)):
                waiting[planes.image_id] = self._unsent.reason(planes.image_id)
        self._waiting = waiting

    def _send_one(self, store: CohortStore, planes: ImagePlanes, names: Pseudonyms) -> None:
        label, code = store.label(planes.image_id), store.image(planes.image_id).sequence
        uids = store_label(self._archive, label, code, planes, names)
        self._note_stored(label, uids["seg"])

    def _note_stored(self, label: LabelVersion, seg_uid: str) -> None:
        earlier = self._stored.get(label.image_id, {}).get("segs", [])
        self._stored[label.image_id] = {"sha256": label.sha256, "segs": [*earlier, seg_uid]}

    def _take_studies(self, listed: Sequence[FoundSeries], store: CohortStore, names: Pseudonyms) -> None:
        """Take what is new, some studies at a time: the tables are written once for all of them.

        Raises:
            ArchiveError: When one study after the other cannot be read.
        """
        changed = [one for one in self._changed(listed, names) if self._late.is_due(one[0])]
        for start in range(0, len(changed), _AT_ONCE):
            self._take_some(changed[start : start + _AT_ONCE], names)
            self._send(store, names)
        self._studies[_DECISIONS] = read_decisions(self._folder)

    def _take_some(self, changed: Sequence[tuple[str, Counts]], names: Pseudonyms) -> None:
        writer = CohortWriter(folder=self.cohort, names=names, ledger=read_ledger(self.cohort), tells_all=True)
        decided, rows, done = read_decisions(self._folder), list[SeriesRow](), dict[str, Counts]()

        def take(study_uid: str, counts: Counts) -> None:
            taken = take_study(self._archive, study_uid, sorted(counts), writer, decided)
            for planes in taken.planes:
                self.planes.add(planes)
            rows.extend(taken.rows)
            done[study_uid] = counts

        failures = 0
        for study_uid, counts in changed:
            went_well = self._patiently(self._late, study_uid, partial(take, study_uid, counts))
            failures = 0 if went_well else failures + 1
            if failures == _FAILURES:
                break
        writer.finish(rows)
        self._studies.update(done)
        for study_uid in done:
            self._settling.pop(study_uid, None)
        if failures == _FAILURES:
            msg = f"{failures} studies in a row could not be taken from the PACS: {self._late.reason(study_uid)}"
            raise ArchiveError(msg)

    def _changed(self, listed: Sequence[FoundSeries], names: Pseudonyms) -> Iterator[tuple[str, Counts]]:
        """Studies that are not as they were when they were taken, once they do not change any more."""
        now, counts = time.monotonic(), dict[str, Counts]()
        for one in listed:
            counts.setdefault(one.study_uid, {})[one.series_uid] = one.count
        undecided = self._undecided()
        for study_uid, found in counts.items():
            if self._studies.get(study_uid) == found and names.study(study_uid) not in undecided:
                continue
            seen, since = self._settling.get(study_uid, (None, now))
            since = since if seen == found else now
            self._settling[study_uid] = (found, since)
            if now - since >= self.rule.settle_s:
                yield study_uid, found

    def _undecided(self) -> set[str]:
        """Studies with a series that a person decided about since they were taken."""
        decided, before = read_decisions(self._folder), self._studies.get(_DECISIONS, {})
        new = {series for series, code in decided.items() if before.get(series) != code}
        return {row.study for row in read_ledger(self.cohort).rows.values() if row.series in new} if new else set()

    def _take_segmentations(self, store: CohortStore, names: Pseudonyms) -> None:
        """Take the SEGs that others stored, oldest first; one whose series is no image yet is looked at again."""
        ours = {uid for one in self._stored.values() for uid in one["segs"]}
        for found in self._archive.series(_SEG):
            if self._seg_series.get(found.series_uid) != found.count:
                self._patiently(self._late, found.series_uid, partial(self._note_segmentations, found, ours))
        for sop_uid, note in sorted(self._segmentations.items(), key=lambda item: (item[1]["made"], item[0])):
            images = [one for uid in note["on"] for one in self.planes.of_series(uid)]
            if not note["done"] and images:
                self._patiently(self._late, sop_uid, partial(self._take_one, sop_uid, images, store, names))

    def _note_segmentations(self, found: FoundSeries, ours: set[str]) -> None:
        for header in self._archive.headers(found.study_uid, found.series_uid):
            sop_uid = str(header.get("SOPInstanceUID", ""))
            if sop_uid not in ours and sop_uid not in self._segmentations:
                made = f"{header.get('ContentDate', '')}{header.get('ContentTime', '')}"
                place = {"study": found.study_uid, "series": found.series_uid, "on": sorted(series_of(header))}
                self._segmentations[sop_uid] = {**place, "made": made, **_NOT_YET}
        self._seg_series[found.series_uid] = found.count

    def _take_one(self, sop_uid: str, images: Sequence[ImagePlanes], store: CohortStore, names: Pseudonyms) -> None:
        note = self._segmentations[sop_uid]
        segmentation = self._archive.object(note["study"], note["series"], sop_uid)
        image_id, number, why = "", 0, ""
        try:
            planes = image_of(segmentation, images)
            image_id = planes.image_id
            label = take_segmentation(self._archive, segmentation, planes, store, names)
        except _REFUSALS as error:
            why = str(error)
            logger.warning("a segmentation in the PACS is not taken as a label: %s", why)
        else:
            number = label.number
            self._note_stored(label, sop_uid)
        self._segmentations[sop_uid] = {**note, "done": True, "image": image_id, "label": number, "why": why}

    def _patiently(self, patience: _Patience, name: str, action: Callable[[], None]) -> bool:
        """Do something that may fail, if it is due; whether it is done."""
        if not patience.is_due(name):
            return False
        try:
            action()
        except RenalError as error:
            patience.failed(name, str(error))
            logger.warning("an exchange with the PACS failed: %s; it is tried again", error)
            return False
        patience.done(name)
        return True
