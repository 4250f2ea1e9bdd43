"""Measure the images that wait for a label, in the background: what a click on *Next Sample* ranks is known before.

An examination is measured as a whole, because its images are compared with each other. Its scores name what they were
made from; when an image or a model is another one, they are stale and are measured anew. Until then they still rank.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from lib.domain.errors import RenalError
from lib.imaging.volume import Volume
from lib.scoring.disagreement import disagreement
from lib.store.scores import ImageScores

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """What a network says of one image, as far as it is measured."""

    label: Volume
    uncertainty: Mapping[str, float]
    model_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the measuring needs of the rest of the app.

    Attributes:
        state: Changes when images or models do; while it stays, there is nothing new to measure.
        examinations: Images of every examination of which one waits for a label.
        known: What each image's scores were made from.
        made_from: Identifies what an examination's scores would be made from now.
        propose: What the network says of an image; raises RenalError when it cannot be used.
        keep: Stores scores.
        pause: Leaves the processor to readers for some seconds.
    """

    state: Callable[[], Hashable]
    examinations: Callable[[], Sequence[Sequence[str]]]
    known: Callable[[], Mapping[str, str]]
    made_from: Callable[[Sequence[str]], str]
    propose: Callable[[str], Measured]
    keep: Callable[[Sequence[ImageScores]], None]
    pause: Callable[[float], None] = time.sleep


class MeasureWaiting:
    """One call measures every examination whose scores are missing or stale, those that have none first."""

    def __init__(self, sources: Sources) -> None:
        self._from = sources
        self._settled: Hashable = None
        self._done: set[str] = set()  # also what could not be measured: it would fail again

    def __call__(self) -> None:
        """Measure what is to be measured as things are now."""
        state = self._from.state()
        if state == self._settled:
            return
        known = self._from.known()
        examinations = self._from.examinations()
        for images in sorted(examinations, key=lambda images: any(image in known for image in images)):
            if self._from.state() != state:  # begin again: with the new model, or the new images
                return
            made_from = self._from.made_from(images)
            if made_from not in self._done and any(known.get(image) != made_from for image in images):
                self._measure(images, made_from)
            self._done.add(made_from)
        self._settled = state

    def _measure(self, images: Sequence[str], made_from: str) -> None:
        found: dict[str, Measured] = {}
        for image_id in images:
            began = time.monotonic()
            try:
                found[image_id] = self._from.propose(image_id)
            except RenalError as error:
                logger.warning("an image cannot be measured: %s: %s", type(error).__name__, error)
            self._from.pause(time.monotonic() - began)  # as long as it took: half of the time is the readers'
        apart = disagreement({image_id: one.label for image_id, one in found.items()})
        scores = [
            ImageScores(
                image_id=image_id,
                made_from=made_from,
                model_version=one.model_version,
                uncertainty=one.uncertainty,
                disagreement=apart[image_id],
            )
            for image_id, one in found.items()
        ]
        if scores:
            self._from.keep(scores)
