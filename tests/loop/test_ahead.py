from __future__ import annotations

import threading
from collections.abc import Sequence

from lib.domain.errors import BadImageError
from lib.loop.ahead import AheadOfReaders

SOON_S = 10.0


class Clinic:
    """Names what comes next, and notes what was prepared."""

    def __init__(self, *queues: Sequence[str]) -> None:
        self.queues, self.prepared, self.rounds = list(queues), [], 0
        self.quiet = threading.Event()

    def upcoming(self) -> Sequence[str]:
        self.rounds += 1
        if len(self.queues) > 1:
            return self.queues.pop(0)
        self.quiet.set()
        return self.queues[0]

    def prepare(self, image_id: str) -> None:
        self.prepared.append(image_id)
        if image_id == "broken":
            msg = "not an image"
            raise BadImageError(msg)


def test_the_next_images_are_prepared_in_order_and_again_when_something_changed() -> None:
    clinic = Clinic(["a", "b"], ["c"], [])
    ahead = AheadOfReaders(clinic.upcoming, clinic.prepare, pause_s=3600)
    ahead.start()
    while clinic.prepared != ["a", "b"]:
        pass
    ahead.look()
    while clinic.prepared != ["a", "b", "c"]:
        pass
    ahead.end()
    assert not ahead.is_alive()


def test_an_image_that_cannot_be_prepared_stops_nothing_and_is_not_tried_again() -> None:
    clinic = Clinic(["broken", "a"], ["broken", "b"], [])
    ahead = AheadOfReaders(clinic.upcoming, clinic.prepare, pause_s=0.001)
    ahead.start()
    assert clinic.quiet.wait(SOON_S)
    ahead.end()
    assert clinic.prepared == ["broken", "a", "b"]


def test_it_looks_again_by_itself() -> None:
    clinic = Clinic([], [], [])
    ahead = AheadOfReaders(clinic.upcoming, clinic.prepare, pause_s=0.001)
    ahead.start()
    assert clinic.quiet.wait(SOON_S)
    ahead.end()
    assert clinic.rounds >= 3


def test_when_the_queue_cannot_be_read_it_goes_on() -> None:
    clinic = Clinic(["a"], [])
    failures = iter([True])

    def upcoming() -> Sequence[str]:
        if next(failures, False):
            msg = "the store is away"
            raise BadImageError(msg)
        return clinic.upcoming()

    ahead = AheadOfReaders(upcoming, clinic.prepare, pause_s=0.001)
    ahead.start()
    assert clinic.quiet.wait(SOON_S)
    ahead.end()
    assert clinic.prepared == ["a"]
