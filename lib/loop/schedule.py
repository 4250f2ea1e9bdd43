"""Let the policy decide, and start what it decides; the decisions stay readable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from lib.domain.records import RetrainDecision
from lib.loop.policy import RetrainRule, Snapshot, decide_retraining

logger = logging.getLogger(__name__)


class RetrainSchedule:
    """One call looks at how things are, decides for every sequence, and starts at most one run per free device."""

    def __init__(
        self,
        look: Callable[[], Snapshot],
        rule: RetrainRule,
        start: Callable[[RetrainDecision], None],
        note: Callable[[Sequence[RetrainDecision]], None],
    ) -> None:
        """Take what sees, what decides and what acts.

        Args:
            look: Takes the snapshot.
            rule: When a sequence is due.
            start: Starts the run of a decision that says go, in a process of its own.
            note: Keeps the decisions where an admin reads them.
        """
        self._look, self._rule, self._start, self._note = look, rule, start, note

    def __call__(self) -> None:
        """Decide once."""
        decisions = decide_retraining(self._look(), self._rule)
        self._note(decisions)
        for decision in decisions:
            if decision.go:
                logger.info("retraining %s: %s", decision.sequence, decision.reason)
                self._start(decision)
