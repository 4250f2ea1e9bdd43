"""How good proposals are in use, per sequence and scanner, and where that has changed."""

from __future__ import annotations

from typing import Any

from lib.loop.monitoring import courses
from lib.store.quality import QualityLog
from lib.web.door import TheDoor


def quality(door: TheDoor) -> dict[str, Any]:
    """Show every figure that is followed: its values in the order they came, and the change that was flagged."""
    found = courses(QualityLog(door.app.datastore().store).all())
    return {
        "changed": sum(course.changed for course in found),
        "figures": [
            {
                "sequence": course.sequence,
                "scanner": course.scanner,
                "figure": course.figure.name,
                "title": course.figure.title,
                "changed": course.changed,
                "said": course.said,
                "values": [round(value, 4) for value in course.values],
                "when": [moment.isoformat() for moment in course.when],
            }
            for course in found
        ],
    }
