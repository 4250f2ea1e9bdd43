"""MONAI Label's strategies: one adapter over the table of orders."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from lib.activelearning.handout import pick
from lib.activelearning.orders import DEFAULT, ORDERS, OrderSpec
from lib.domain.errors import BadRequestError
from lib.domain.records import Candidate, Priority
from lib.store.cohort import FINAL, CohortStore
from lib.store.datastore import CohortDatastore
from lib.store.worklist import Claims, State, WorkList

RECENT_S = 60.0  # a ranking that a click takes as it is
ASKED_FOR = "asked for"
REOPENED = "asked for; it has a label, and what is submitted becomes its next version"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Images as they were in one state, and what was ranked of them since; None for a state that was still changing."""

    state: State | None
    at_s: float
    waiting: list[Candidate]
    labelled: list[Candidate]
    ranked: dict[str, list[Priority]]

    def order(self, spec: OrderSpec) -> list[Priority]:
        """Rank them, if that was not done; chance is the same each time, so that what comes next can be prepared."""
        if spec.name not in self.ranked:
            self.ranked[spec.name] = spec.order(self.waiting, self.labelled, random.Random(spec.name))
        return self.ranked[spec.name]


class Queues:
    """The orders of the images that wait; ranked anew in the background when images, labels or scores change.

    A click takes what was ranked last, and does not wait for the ranking that another thread is at.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}

    def ranked(self, spec: OrderSpec, work: WorkList, tag: str = FINAL) -> list[Priority]:
        """Images without a label in an order, the most useful first."""
        with self._lock:
            state = work.state()
            seen = self._seen.get(tag)
            if seen is None or seen.state != state:
                now_s, waiting, labelled = time.monotonic(), work.candidates(tag), work.labelled(tag)
                told = state if state[0].settled else None  # else the next change might not show in it
                seen = _Seen(state=told, at_s=now_s, waiting=waiting, labelled=labelled, ranked={})
                self._seen[tag] = seen
            return seen.order(spec)

    def recent(self, spec: OrderSpec, work: WorkList, tag: str = FINAL) -> list[Priority]:
        """The same as it was within the last minute, at once; whoever leases from it checks what got a label since."""
        seen = self._seen.get(tag)
        if seen is None or time.monotonic() - seen.at_s > RECENT_S:
            return self.ranked(spec, work, tag)
        return seen.order(spec)


class NextCase(Strategy):
    """Adapter for an order: reads the work list, leases the choice, says why.

    A request may hold ``client_id`` (who asks; without it nobody is known again), ``image`` or ``patient_id`` (a
    case that the reader asks for, labelled or not), and ``skip`` with ``reason`` (an image to pass over first).
    """

    def __init__(self, spec: OrderSpec, queues: Queues) -> None:
        super().__init__(spec.title)
        self._spec, self._queues = spec, queues

    def __call__(self, request: Mapping[str, Any], datastore: CohortDatastore) -> dict[str, Any] | None:
        """Return the id of the reader's next image and the reason; None when nothing is left for them.

        Raises:
            BadRequestError: When an image is skipped without a reason.
            LeasedError: When somebody else is labelling the image that was asked for.
            UnknownImageError: When that image, or the patient, is not known.
        """
        work, holder = WorkList(datastore.store), str(request.get("client_id") or uuid.uuid4())
        if request.get("skip"):
            work.skip(str(request["skip"]), holder, _reason(request))
        if request.get("image") or request.get("patient_id"):
            return _asked_for(request, datastore, work, holder)
        tag = str(request.get("label_tag") or FINAL)
        for ranked in (self._queues.recent, self._queues.ranked):  # the second when nothing is left of the first
            found = _leased(work, holder, ranked(self._spec, work, tag), tag)
            if found:
                return {"id": found.image_id, "reason": found.reason}
        return None


def _leased(work: WorkList, holder: str, queue: Sequence[Priority], tag: str) -> Priority | None:
    """Lease the first of the queue that this reader may be given; None when there is none."""
    chosen: list[Priority] = []

    def choose(claims: Claims) -> str | None:
        found = pick(
            queue,
            holder=holder,
            holders=claims.holders,
            open_patients=claims.open_patients,
            skipped=claims.skipped,
            skipped_by_others=claims.skipped_by_others,
        )
        chosen.extend([found] if found else [])
        return found.image_id if found else None

    return chosen[-1] if work.take(holder, choose, without=tag) else None


def _asked_for(
    request: Mapping[str, Any], datastore: CohortDatastore, work: WorkList, holder: str
) -> dict[str, Any] | None:
    """Lease the image that a reader asks for; of a patient, the first one nobody else holds, unlabelled ones first."""
    if request.get("image"):
        images = [datastore.store.image(str(request["image"])).image_id]
    else:
        images = work.images_of(str(request["patient_id"]))

    def choose(claims: Claims) -> str:
        free = [image for image in images if claims.holders.get(image, holder) == holder]
        return (free or images)[0]

    chosen = str(work.take(holder, choose))
    again = FINAL in datastore.get_labels_by_image_id(chosen)
    return {"id": chosen, "reason": REOPENED if again else ASKED_FOR}


def _reason(request: Mapping[str, Any]) -> str:
    reason = str(request.get("reason") or "").strip()
    if not reason:
        msg = "an image was skipped without a reason; expected one in words"
        raise BadRequestError(msg)
    return reason


def upcoming(store: CohortStore, queues: Queues, count: int) -> list[str]:
    """Image ids that readers will most likely be given next by the default strategy, the nearest first.

    Args:
        store: Of the images.
        queues: That readers are given from.
        count: How many to name beside the other sequences of the patients who are open.
    """
    work = WorkList(store)
    queue = queues.ranked(DEFAULT, work)
    held, opened = work.claims("").holders, work.open_patients()
    free = [case for case in queue if case.image_id not in held]
    near = sorted((case for case in free if case.patient_id in opened), key=lambda case: opened.index(case.patient_id))
    far = [case for case in free if case.patient_id not in opened]
    return [case.image_id for case in [*near, *far[:count]]]


def strategies(queues: Queues) -> dict[str, Strategy]:
    """One per order; clients take the first unless told otherwise."""
    return {spec.name: NextCase(spec, queues) for spec in ORDERS.values()}
