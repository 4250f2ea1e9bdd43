from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from lib.domain.errors import BadImageError
from lib.loop.repeat import Repeating

SOON_S = 10.0


class Rounds:
    """Counts rounds, and says when enough have passed."""

    def __init__(self, enough: int, action: Callable[[int], None] = lambda _: None) -> None:
        self.count, self._enough, self._action = 0, enough, action
        self.done = threading.Event()

    def __call__(self) -> None:
        self.count += 1
        if self.count >= self._enough:
            self.done.set()
        self._action(self.count)


def test_rounds_follow_each_other_after_a_pause() -> None:
    rounds = Rounds(3)
    repeating = Repeating("test", rounds, 0.001)
    repeating.start()
    assert rounds.done.wait(SOON_S)
    repeating.end()
    assert not repeating.is_alive()


def test_the_first_round_comes_at_once_and_the_next_when_something_changed() -> None:
    first, second = Rounds(1), Rounds(2)

    def both() -> None:
        first()
        second()

    repeating = Repeating("test", both, 3600)
    repeating.start()
    assert first.done.wait(SOON_S)
    assert second.count == 1
    while not second.done.is_set():
        repeating.soon()
    repeating.end()


@pytest.mark.parametrize("error", [BadImageError("three axes expected"), OSError(28, "No space left on device")])
def test_what_goes_wrong_in_one_round_is_logged_and_the_next_comes(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_first(number: int) -> None:
        if number == 1:
            raise error

    rounds = Rounds(2, fail_first)
    with caplog.at_level(logging.WARNING):
        repeating = Repeating("ahead", rounds, 0.001)
        repeating.start()
        assert rounds.done.wait(SOON_S)
        repeating.end()
    assert f"ahead: {type(error).__name__}" in caplog.text


def test_one_that_was_never_started_can_be_ended() -> None:
    Repeating("test", lambda: None, 1).end()
