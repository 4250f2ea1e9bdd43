"""MONAI Label's strategies: one adapter, and a table of orders."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from lib.activelearning.coverage import by_coverage
from lib.activelearning.handout import pick
from lib.activelearning.random import at_random
from lib.domain.errors import BadRequestError
from lib.domain.records import Candidate, Priority
from lib.store.cohort import FINAL, CohortStore
from lib.store.datastore import CohortDatastore
from lib.store.worklist import Claims, WorkList

Order = Callable[[Sequence[Candidate], Mapping[tuple[str, str, str], int], random.Random], list[Priority]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSpec:
    """One row of the table: a strategy's name, what clients show, and its order."""

    name: str
    title: str
    order: Order


ORDERS: dict[str, OrderSpec] = {
    row.name: row
    for row in (
        OrderSpec(name="coverage", title="Least labelled centre, scanner and sequence first", order=by_coverage),
        OrderSpec(name="random", title="Any case that has no label yet", order=at_random),
    )
}


class NextCase(Strategy):
    """Adapter for an order: reads the work list, leases the choice, says why.

    A request may hold ``client_id`` (who asks; without it nobody is known again), ``image`` or ``patient_id`` (a
    case that the reader asks for, labelled or not), and ``skip`` with ``reason`` (an image to pass over first).
    """

    def __init__(self, spec: OrderSpec) -> None:
        super().__init__(spec.title)
        self._order = spec.order

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
        queue = self._order(work.candidates(tag), work.labelled_cells(tag), random.Random())
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

        work.take(holder, choose)
        return {"id": chosen[0].image_id, "reason": chosen[0].reason} if chosen else None


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

    return {"id": work.take(holder, choose), "reason": "asked for"}


def _reason(request: Mapping[str, Any]) -> str:
    reason = str(request.get("reason") or "").strip()
    if not reason:
        msg = "an image was skipped without a reason; expected one in words"
        raise BadRequestError(msg)
    return reason


def upcoming(store: CohortStore, count: int) -> list[str]:
    """Image ids that readers will most likely be given next by the default strategy, the nearest first.

    Args:
        store: Of the images.
        count: How many to name beside the other sequences of the patients who are open.
    """
    work = WorkList(store)
    queue = next(iter(ORDERS.values())).order(work.candidates(), work.labelled_cells(), random.Random(0))
    held, opened = work.claims("").holders, work.open_patients()
    free = [case for case in queue if case.image_id not in held]
    near = sorted((case for case in free if case.patient_id in opened), key=lambda case: opened.index(case.patient_id))
    far = [case for case in free if case.patient_id not in opened]
    return [case.image_id for case in [*near, *far[:count]]]


def strategies() -> dict[str, Strategy]:
    """One per order; clients take the first unless told otherwise."""
    return {spec.name: NextCase(spec) for spec in ORDERS.values()}
