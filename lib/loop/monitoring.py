"""Watch proposals in use: compare each with what its reader made of it, and say where a figure has changed.

Nothing here is on the way of a request: one round at a time runs beside the server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from lib.domain.errors import RenalError
from lib.imaging.geometry import check_same_grid
from lib.imaging.metrics import score_case
from lib.imaging.volume import read_label
from lib.loop.cusum import DEFAULT_RULE, ChangeRule, Chart, Direction, chart
from lib.store.quality import ProposalQuality, QualityLog, Uncompared

logger = logging.getLogger(__name__)

COMPARED, GONE = "yes", "the proposal is no longer kept"
_RECENT = 20  # alarms among so many last values are news


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row: a figure that is followed, and which change of it is bad."""

    name: str
    title: str
    bad: Direction


FIGURES: tuple[Figure, ...] = (
    Figure(name="mass_dice", title="DSC of proposed and final masses", bad="falls"),
    Figure(name="kidney_dice", title="DSC of proposed and final kidneys", bad="falls"),
    Figure(name="expected_dice", title="expected DSC of the masses", bad="falls"),
    Figure(name="drift", title="drift score of the images", bad="rises"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A figure of one sequence on one scanner, as it came in.

    Attributes:
        values: One an image, in the order of the proposals.
        when: When each proposal was given.
        said: What a person reads about it.
    """

    figure: Figure
    sequence: str
    scanner: str
    values: tuple[float, ...]
    when: tuple[datetime, ...]
    chart: Chart
    said: str

    @property
    def changed(self) -> bool:
        """Whether a change was flagged lately."""
        return bool(self.chart.alarms) and self.chart.alarms[-1] >= len(self.values) - _RECENT


def courses(rows: Iterable[ProposalQuality], rule: ChangeRule = DEFAULT_RULE) -> list[Course]:
    """Follow every figure of every sequence and scanner; each image counts once, with its last proposal that has it."""
    known = list(rows)
    found = []
    for sequence, scanner in sorted({(row.sequence, row.scanner) for row in known}):
        own = [row for row in known if (row.sequence, row.scanner) == (sequence, scanner)]
        for figure in FIGURES:
            last = {row.image_id: row for row in own if getattr(row, figure.name) is not None}
            if last:
                found.append(_course(figure, sorted(last.values(), key=lambda row: row.proposal_id), rule))
    return found


def _course(figure: Figure, rows: Sequence[ProposalQuality], rule: ChangeRule) -> Course:
    values = tuple(float(getattr(row, figure.name)) for row in rows)
    followed = chart(values, figure.bad, rule)
    return Course(
        figure=figure,
        sequence=rows[0].sequence,
        scanner=rows[0].scanner,
        values=values,
        when=tuple(row.created for row in rows),
        chart=followed,
        said=_sentence(values, followed, figure, rule),
    )


def _sentence(values: Sequence[float], followed: Chart, figure: Figure, rule: ChangeRule) -> str:
    if not followed.alarms:
        missing = rule.settle - len(values)
        return f"{missing} more are needed to judge it" if missing > 0 else "no change"
    alarm, began = followed.alarms[-1], followed.began[-1]
    since = values[began : alarm + 1]
    how = "fell" if figure.bad == "falls" else "rose"
    first = followed.alarms[-2] + 1 if len(followed.alarms) > 1 else 0
    return (
        f"{how} at about image {began + 1} of {len(values)}: median {median(values[first:began] or values):.2f} "
        f"before, {median(since):.2f} since; flagged at image {alarm + 1}"
    )


class QualityWatch:
    """One call compares and measures what waits; what cannot be read is not tried again."""

    def __init__(
        self,
        log: QualityLog,
        proposal: Callable[[str, str], Path | None],
        drift: Callable[[str], float | None],
    ) -> None:
        """Take what reads.

        Args:
            log: Of one cohort.
            proposal: Finds the label file that a model version proposed for an image; None when it is no longer kept.
            drift: Measures how foreign an image looks; None when its sequence has nothing to compare with.
        """
        self._log, self._proposal, self._drift = log, proposal, drift
        self._refused: set[str] = set()

    def __call__(self) -> None:
        """Do what waits now."""
        for waiting in self._log.uncompared():
            self._compare(waiting)
        for image_id, proposals in self._log.without_drift():
            if image_id not in self._refused:
                self._measure(image_id, proposals)

    def _compare(self, waiting: Uncompared) -> None:
        path = self._proposal(waiting.image_id, waiting.model_version)
        if path is None:
            self._log.compare(waiting, {}, GONE)
            return
        try:
            proposed, final = read_label(path), read_label(waiting.label)
            check_same_grid(proposed, final)
        except RenalError as error:
            self._log.compare(waiting, {}, type(error).__name__)
            return
        score = score_case(waiting.image_id, proposed.data, final.data, waiting.drawn)  # type: ignore[arg-type]
        self._log.compare(waiting, score.dice, COMPARED)

    def _measure(self, image_id: str, proposals: list[int]) -> None:
        drift = self._log.known_drift(image_id)
        try:
            drift = self._drift(image_id) if drift is None else drift
        except (RenalError, OSError) as error:
            logger.warning("an image's drift cannot be measured: %s", type(error).__name__)
            drift = None
        if drift is None:
            self._refused.add(image_id)
        else:
            self._log.note_drift(proposals, drift)
