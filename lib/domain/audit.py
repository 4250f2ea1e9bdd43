"""What goes on record: the events of the audit log, and the callable that takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

LABEL_ACCEPTED, LABEL_FOUND, LABEL_REMOVED = "label.accepted", "label.found", "label.removed"
LABEL_SUSPECTED, LABEL_RELEASED = "label.suspected", "label.released"
RUN_STARTED, RUN_FINISHED, RUN_FAILED, RUN_STOPPED = "run.started", "run.finished", "run.failed", "run.stopped"
RUN_DECIDED = "run.decided"
MODEL_DECIDED, MODEL_PROMOTE, MODEL_ROLLBACK = "model.decided", "model.promote", "model.rollback"
MODEL_SERVES, MODEL_ADOPTED, MODEL_PRUNED = "model.serves", "model.adopted", "model.pruned"
LOG_REPAIRED, LOG_TRUNCATED, LOG_HEAD_LOST = "log.repaired", "log.truncated", "log.head-lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Something that an auditor will ask about.

    Attributes:
        who: The person, as the client names them, or the part of this software; never a patient.
        what: One of the names above.
        why: A sentence; empty when the event speaks for itself.
        about: Ids, versions, hashes and figures: anything JSON can hold.
    """

    who: str
    what: str
    why: str = ""
    about: Mapping[str, object] = field(default_factory=dict)


Record = Callable[[Sequence[AuditEvent]], None]


def off_the_record(events: Sequence[AuditEvent]) -> None:
    """Stand in where no log is kept: phantoms, and training without a server."""
