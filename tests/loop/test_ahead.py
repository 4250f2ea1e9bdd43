from __future__ import annotations

from collections.abc import Sequence

from lib.domain.errors import BadImageError
from lib.loop.ahead import AheadOfReaders


class Clinic:
    """Names what comes next, and notes what was prepared."""

    def __init__(self, *queues: Sequence[str]) -> None:
        self.queues, self.prepared = list(queues), []

    def upcoming(self) -> Sequence[str]:
        return self.queues.pop(0)

    def prepare(self, image_id: str) -> None:
        self.prepared.append(image_id)
        if image_id == "broken":
            msg = "not an image"
            raise BadImageError(msg)


def test_the_next_images_are_prepared_in_order_as_they_are_now() -> None:
    clinic = Clinic(["a", "b"], ["c"], [])
    ahead = AheadOfReaders(clinic.upcoming, clinic.prepare)
    for _ in range(3):
        ahead()
    assert clinic.prepared == ["a", "b", "c"]


def test_an_image_that_cannot_be_prepared_stops_nothing_and_is_not_tried_again() -> None:
    clinic = Clinic(["broken", "a"], ["broken", "b"])
    ahead = AheadOfReaders(clinic.upcoming, clinic.prepare)
    ahead()
    ahead()
    assert clinic.prepared == ["broken", "a", "b"]
