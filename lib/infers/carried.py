"""What a reader drew on another image of the same examination, carried over, where it promises more than the network.

The decision waits on disk like any proposal. It is the reader's label that makes it: when that is replaced or taken
back, or the network is another one, it is made anew. It is never final: a label is what a reader submits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lib.domain.errors import RenalError
from lib.domain.records import LabelledImage
from lib.imaging.lesions import measure_masses
from lib.imaging.volume import Volume, image_stem, read_label, read_volume
from lib.infers.waiting import WaitingRoom, key_of
from lib.loop.propagate import Propagation, propagate

logger = logging.getLogger(__name__)

EXPECTED = "expected_dice"  # key of the reply, also where the network's own expectation stands
_MOST_SOURCES = 2  # labels that are carried over, the newest first; each takes seconds
_OF_THE_NETWORKS_OWN = ("distrust", "distrust_reason")  # what a reply says of a label that is not given
Answer = tuple[Volume, dict[str, Any]]


class CarriedOver:
    """Chooses between the network's proposal and a reader's label from another sequence."""

    def __init__(self, room: WaitingRoom) -> None:
        """Take the room.

        Args:
            room: Where decisions wait.
        """
        self._room = room
        self._making: dict[str, threading.Lock] = {}

    def better(self, path: Path, key: str, labels: Sequence[LabelledImage], own: Callable[[], Answer]) -> Answer:
        """Give the better proposal for an image.

        Args:
            path: The image.
            key: Identifies the network's proposal.
            labels: Readers' labels on other images of the examination, the newest first.
            own: Gives the network's proposal and reply; asked only when no decision waits.

        Returns:
            The proposal; and the reply, which names ``propagated_from`` and ``expected_dice``, or says under
            ``not_propagated`` why the network's own proposal is given.
        """
        key = key_of([label.image for label in labels], key, *(label.label_sha256 for label in labels))
        with self._making.setdefault(image_stem(path), threading.Lock()):  # who asks meanwhile gets what was made
            found = self._room.find(image_stem(path), key)
            if found:
                return read_label(found.label), {**found.reply, "prepared": True}
            label, reply = _decided(path, labels, *own())
            try:
                self._room.keep(image_stem(path), key, label, reply)
            except OSError as error:  # the reader gets the proposal all the same
                logger.warning("a propagated proposal could not be kept: %s", type(error).__name__)
        return label, {**reply, "prepared": False}


def _decided(path: Path, labels: Sequence[LabelledImage], network: Volume, reply: dict[str, Any]) -> Answer:
    """Carry the newest labels over, and take the best of them if it promises more than the network."""
    tried = [(source, _carried(source, path, network)) for source in labels[:_MOST_SOURCES]]
    source, best = max(tried, key=lambda one: one[1].expected if one[1].label else 0.0)
    if best.label is None:
        return network, {**reply, "not_propagated": best.reason}
    if not promises_more(best.expected, reply.get(EXPECTED)):
        reason = f"the network's own proposal is expected to be better: {reply[EXPECTED]:.2f} over {best.expected:.2f}"
        return network, {**reply, "not_propagated": reason}
    return best.label, {
        **{name: said for name, said in reply.items() if name not in _OF_THE_NETWORKS_OWN},
        "masses": [asdict(mass) for mass in measure_masses(best.label)],
        "propagated_from": source.image_id,
        "propagated_because": best.reason,
        EXPECTED: round(best.expected, 3),
        "extra_masses": best.extra_masses,
    }


def promises_more(expected: float, network: object) -> bool:
    """Whether a carried label beats the network's; one that promises nothing is beaten by any that was not held back.

    Args:
        expected: Expected Dice of the carried label.
        network: The network's own expectation, if it states one.
    """
    return not isinstance(network, int | float) or expected > network


def _carried(source: LabelledImage, target: Path, network: Volume) -> Propagation:
    """One label carried over; or the reason why it cannot be."""
    try:
        return propagate(
            read_label(source.label),
            read_volume(source.image),
            read_volume(target),
            drawn=source.drawn,
            proposal=network,
        )
    except RenalError as error:
        return Propagation(label=None, reason=f"not propagated: {error}")
