"""Labels before they teach: what speaks against them, what becomes of them, and who let go of which.

``live/<CODE>/label-reviews.json`` holds one entry for each version of a label. A version is judged once; a corrected
label is another version. ``LabelReviews(live).open()`` is what a page of suspicious labels reads, ``release`` what its
button does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from lib.domain.audit import LABEL_RELEASED, LABEL_SUSPECTED, AuditEvent, Record
from lib.domain.errors import BadRequestError, StorageError, UnknownImageError
from lib.domain.records import LabelledImage
from lib.imaging.volume import read_label, write_bytes
from lib.loop.label_quality import LabelRule, LabelToCheck, Suspicion, suspicions
from lib.loop.witnesses import Witness, patients_taught, witnesses_of
from lib.registry.versions import SuspectedLabel

logger = logging.getLogger(__name__)

_FILE = "label-reviews.json"
_NOTED_AT_ONCE = 10  # labels judged between two writes: a killed run has so many to judge again
Predict = Callable[[Path, LabelledImage], NDArray[np.uint8]]
"""A weight file and an image to label values on the image's own voxels (i, j, k)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReview:
    """What was found about one version of a label.

    Attributes:
        sha256: Of the label version's file.
        at: When it was judged, ISO 8601, UTC.
        compared_with: Versions of the models that were asked.
        released_by: Who said that it is right; empty while nobody did.
        released_at: When, ISO 8601, UTC.
        released_why: And why.
    """

    code: str
    image_id: str
    sha256: str
    at: str
    suspicions: tuple[Suspicion, ...] = ()
    compared_with: tuple[str, ...] = ()
    released_by: str = ""
    released_at: str = ""
    released_why: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something speaks against it that no person has answered."""
        return bool(self.suspicions) and not self.released_at

    @property
    def why(self) -> str:
        """Everything that speaks against it, in a sentence; empty when nothing does."""
        return "; ".join(f"{one.kind}: {one.reason}" for one in self.suspicions)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReviews:
    """The reviews of one installation; any number of processes may add and release.

    Attributes:
        live: Folder that retraining writes to.
        record: Takes the events of the audit log.
    """

    live: Path
    record: Record

    def of(self, code: str) -> list[LabelReview]:
        """Every review of a sequence's labels, oldest first.

        Raises:
            StorageError: When the file is not one that was written here.
        """
        try:
            found = json.loads((self.live / code / _FILE).read_bytes())
            return [_review(one) for one in found]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError):
            msg = f"{_FILE} of {code} cannot be read; expected the list of label reviews that training wrote"
            raise StorageError(msg) from None

    def open(self) -> list[LabelReview]:
        """Reviews of every sequence that wait for a person; a newer version of a label makes the older one's moot."""
        newest: dict[str, LabelReview] = {}
        for path in sorted(self.live.glob(f"*/{_FILE}")):
            newest |= {one.image_id: one for one in self.of(path.parent.name)}
        return [one for one in newest.values() if one.is_open]

    def add(self, code: str, reviews: Sequence[LabelReview]) -> None:
        """Keep what was found; what is suspicious goes on record."""
        with self._lock(code):
            self._write(code, [*self.of(code), *reviews])
        self.record([_event("label review", LABEL_SUSPECTED, one, one.why) for one in reviews if one.is_open])

    def release(self, image_id: str, *, who: str, why: str) -> LabelReview:
        """Let a suspicious label teach and judge as any other.

        Raises:
            BadRequestError: When the reason is empty.
            UnknownImageError: When no suspicious label of this image waits.
        """
        if not why.strip():
            msg = "the reason is empty; expected the sentence that an auditor will read"
            raise BadRequestError(msg)
        held = next((one for one in self.open() if one.image_id == image_id), None)
        if held is None:
            msg = "no suspicious label of this image waits for a reviewer; expected one that `labels list` shows"
            raise UnknownImageError(msg)
        released = replace(held, released_by=who, released_at=_now(), released_why=why)
        with self._lock(held.code):
            reviews = self.of(held.code)
            self._write(held.code, [released if _key(one) == _key(held) else one for one in reviews])
        self.record([_event(who, LABEL_RELEASED, released, why)])
        return released

    def _lock(self, code: str) -> FileLock:
        (self.live / code).mkdir(parents=True, exist_ok=True)
        return FileLock(self.live / code / "label-reviews.lock")

    def _write(self, code: str, reviews: Sequence[LabelReview]) -> None:
        write_bytes(json.dumps([asdict(one) for one in reviews], indent=1).encode(), self.live / code / _FILE)


def review_new(
    code: str,
    cases: Sequence[LabelledImage],
    reviews: LabelReviews,
    witnesses: Sequence[Witness],
    predict: Predict,
    rule: LabelRule,
) -> None:
    """Judge the labels that nobody judged yet, and keep what was found; one that nobody can judge is used as it is.

    Raises:
        BadImageError: When an image or a label cannot be read.
    """
    judged = {_key(one) for one in reviews.of(code)}
    taught = patients_taught(witnesses, cases)
    new = [
        (case, asked)
        for case in cases
        if (case.image_id, case.label_sha256) not in judged
        if (asked := witnesses_of(case, witnesses, taught))
    ]
    for start in range(0, len(new), _NOTED_AT_ONCE):
        some = new[start : start + _NOTED_AT_ONCE]
        reviews.add(code, [_judged(code, case, asked, predict, rule) for case, asked in some])
        logger.info("looked at %d of %d new labels", start + len(some), len(new))


def _judged(code: str, case: LabelledImage, asked: Sequence[Witness], predict: Predict, rule: LabelRule) -> LabelReview:
    label = read_label(case.label)
    proposal, prediction = (predict(one.weights, case) for one in asked)
    check = LabelToCheck(
        image_id=case.image_id,
        label=label.data.astype(np.uint8),
        proposal=proposal,
        prediction=prediction,
        spacing_mm=label.spacing_mm,
        drawn=case.drawn,
    )
    return LabelReview(
        code=code,
        image_id=case.image_id,
        sha256=case.label_sha256,
        at=_now(),
        suspicions=suspicions(check, rule),
        compared_with=tuple(one.version for one in asked),
    )


def sorted_out(
    cases: Sequence[LabelledImage], reviews: Sequence[LabelReview], rule: LabelRule
) -> tuple[list[LabelledImage], list[SuspectedLabel]]:
    """Labels that a run may use, with their weights; and every suspicious one with what becomes of it.

    A label that is held neither teaches nor judges until it is released; one that is down-weighted judges as before.
    """
    waiting = {_key(one): one for one in reviews if one.is_open}
    used: list[LabelledImage] = []
    suspected: list[SuspectedLabel] = []
    for case in cases:
        review = waiting.get((case.image_id, case.label_sha256))
        weight = case.weight if review is None else 0.0 if rule.action == "hold" else rule.weight
        if review is None or rule.action != "hold":
            used.append(replace(case, weight=weight))
        if review:
            suspected.append(
                SuspectedLabel(
                    image_id=case.image_id, sha256=case.label_sha256, weight=weight, became=rule.action, why=review.why
                )
            )
    return used, suspected


def _key(review: LabelReview) -> tuple[str, str]:
    return review.image_id, review.sha256


def _review(found: dict[str, object]) -> LabelReview:
    told = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return LabelReview(**{**told, "suspicions": tuple(Suspicion(**one) for one in found["suspicions"])})  # type: ignore[arg-type, attr-defined]


def _event(who: str, what: str, review: LabelReview, why: str) -> AuditEvent:
    about = {"code": review.code, "image_id": review.image_id, "sha256": review.sha256}
    return AuditEvent(who=who, what=what, why=why, about={**about, "compared_with": list(review.compared_with)})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
