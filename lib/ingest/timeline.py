"""The T1 series of one study on one line of time: what they tell of the phases that single headers leave open."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from lib.domain.sequences import SEQUENCES, UNKNOWN
from lib.ingest.headers import SeriesHeader, seconds_between
from lib.ingest.phases import LONGEST_DELAY_S, SHORTEST_DELAY_S, Evidence, Timing, delayed, taken_at_s
from lib.ingest.rules import BEFORE_CONTRAST, normalised

DYNAMIC_SET = 4
"""Series of one name, or of a dynamic set, from which on the first is taken for the one before contrast."""

ORDERED_SET = 3
"""Series after contrast from which on their order alone tells the first, the second and the last."""

_TYPICAL = 1 / 3
"""Part of a phase's span that has gone by when it is usually taken."""

_WIDEST_ANCHOR_S = 120.0
_LONGEST_FIRST_GAP_S = 100.0
"""Two series after contrast that lie further apart do not show when the injection was."""

_TIMES_STATED, _DELAY_STATED, _PHASE_STATED, _FIRST_SEEN, _ORDER = 0.8, 0.75, 0.7, 0.65, 0.6
"""Confidence in a phase that another series' injection time, delay or phase, or the order of the series tells."""

_SEEN_BEFORE, _NO_SIGN = 0.8, 0.6
"""Confidence in the one before contrast, when series with contrast follow it, and when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A T1 series on the study's line of time.

    Attributes:
        number: Its place among the series that were given.
        at_s: Seconds on the line; None when its header has no time.
        after: Whether it says that contrast had been given; an agent in every header says nothing.
        dynamic: Whether it belongs to a dynamic set.
        several: Whether it holds several phases: the header says so, and no other header is of the same series.
    """

    number: int
    header: SeriesHeader
    timing: Timing
    at_s: float | None
    after: bool
    dynamic: bool
    several: bool

    @property
    def stated(self) -> str:
        """Code that its own header tells; empty when that leaves the phase open."""
        return self.timing.evidence[0].code if self.timing.evidence else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Injection:
    """When contrast was given, on the study's line of time, and how that is known."""

    at_s: float
    confidence: float
    rule: str


def phases(series: Sequence[tuple[SeriesHeader, Timing]]) -> list[tuple[Evidence, ...]]:
    """Tell the phase of every T1 series of one study.

    Args:
        series: Header of each, and what that says of its time.

    Returns:
        The evidence for each, best first, never empty; evidence for ``unknown`` says what is missing.
    """
    moments = _moments(series)
    line = sorted((moment for moment in moments if moment.stated or not moment.several), key=_place)
    before, posts = _divided(line)
    found = {moment.number: _plain(seen=bool(posts)) for moment in before}
    found |= _by_order(before, posts)
    injection = _injection_stated(line) or _injection_seen(before, posts)
    found |= _by_time(line, injection) if injection else {}
    return [moment.timing.evidence or (found.get(moment.number) or _left_open(moment),) for moment in moments]


def _moments(series: Sequence[tuple[SeriesHeader, Timing]]) -> list[Moment]:
    taken = [taken_at_s(header) for header, _ in series]
    start_s = min((time_s for time_s in taken if time_s is not None), default=None)
    together = Counter((header.series_number, time_s) for (header, _), time_s in zip(series, taken, strict=True))
    names = Counter(_set_name(header) for header, _ in series)
    parts = Counter((header.series_number, header.series_description) for header, _ in series)
    agent_everywhere = len(series) > 1 and all(timing.agent for _, timing in series)
    moments = []
    for number, ((header, timing), time_s) in enumerate(zip(series, taken, strict=True)):
        at_s = seconds_between(start_s, time_s)
        if at_s is not None and together[header.series_number, time_s] > 1:
            at_s += (header.trigger_time_ms or 0.0) / 1000  # phases of one series may share its time
        moment = Moment(
            number=number,
            header=header,
            timing=timing,
            at_s=at_s,
            after=timing.after or (timing.agent and not agent_everywhere),
            dynamic=timing.dynamic or names[_set_name(header)] >= DYNAMIC_SET,
            several=timing.several and parts[header.series_number, header.series_description] == 1,
        )
        moments.append(moment)
    return moments


def _set_name(header: SeriesHeader) -> str:
    return re.sub(r"\d+", "", normalised(header.series_description or header.protocol_name))


def _place(moment: Moment) -> tuple[object, ...]:
    """Place in the study, by time where it is known, else by number; never by the order of the headers."""
    header, rank = moment.header, moment.timing.rank or 0
    number = header.series_number or 0
    if moment.at_s is None:
        return (0.0, number, rank, header.series_description)
    return (moment.at_s, number, rank, header.series_description)


def _divided(line: list[Moment]) -> tuple[list[Moment], list[Moment]]:
    """Series before contrast, and those after it, in order."""
    signs = [bool(moment.stated not in ("", BEFORE_CONTRAST) or _said_after(moment)) for moment in line]
    dynamic = [not moment.stated and moment.dynamic and not moment.after for moment in line]
    first = next((at for at, (sign, one) in enumerate(zip(signs, dynamic, strict=True)) if sign or one), len(line))
    after = [moment for moment in line[first:] if moment.stated != BEFORE_CONTRAST]
    before = [moment for moment in line if moment not in after]
    if not before and len(after) >= DYNAMIC_SET and dynamic[first] and after[0].timing.rank in (None, 1):
        before, after = after[:1], after[1:]
    return before, after


def _said_after(moment: Moment) -> bool:
    return not moment.stated and moment.after


def _plain(*, seen: bool) -> Evidence | None:
    if BEFORE_CONTRAST not in SEQUENCES:
        return None
    says = "the series with contrast come after it" if seen else "nothing says that contrast was given before it"
    rule = "first of the study" if seen else "no sign of contrast"
    return Evidence(code=BEFORE_CONTRAST, rule=rule, confidence=_SEEN_BEFORE if seen else _NO_SIGN, says=says)


def _injection_stated(line: list[Moment]) -> _Injection | None:
    """Time of injection by the headers that state it, else by the series whose phase is known best."""
    stated = [at_s for moment in line if (at_s := _stated_s(moment)) is not None]
    if stated:
        return _Injection(at_s=median(stated), confidence=_TIMES_STATED, rule="time of injection in another series")
    anchors = [anchor for moment in line if (anchor := _anchor(moment))]
    return max(anchors, key=lambda one: (one.confidence, -one.at_s), default=None)


def _stated_s(moment: Moment) -> float | None:
    delay_s = seconds_between(moment.header.contrast_time_s, taken_at_s(moment.header))
    if moment.at_s is None or delay_s is None or not SHORTEST_DELAY_S <= abs(delay_s) <= LONGEST_DELAY_S:
        return None
    return moment.at_s - delay_s


def _anchor(moment: Moment) -> _Injection | None:
    if moment.at_s is None or not moment.stated:
        return None
    evidence = moment.timing.evidence[0]
    if evidence.delay_s is not None:
        at_s = moment.at_s - evidence.delay_s
        return _Injection(at_s=at_s, confidence=_DELAY_STATED, rule="delay of another series")
    row = SEQUENCES.get(moment.stated)
    if row is None or row.delay_s is None or row.delay_s[1] - row.delay_s[0] > _WIDEST_ANCHOR_S:
        return None
    at_s = moment.at_s - _usual_s(row.delay_s)
    width = (row.delay_s[1] - row.delay_s[0]) / _WIDEST_ANCHOR_S  # the narrower the phase, the better it tells
    return _Injection(at_s=at_s, confidence=_PHASE_STATED - 0.05 * width, rule="phase of another series")


def _injection_seen(before: list[Moment], posts: list[Moment]) -> _Injection | None:
    """Time of injection by the first of the series after contrast, when the second follows it closely."""
    times = [moment.at_s for moment in posts[:2] if moment.at_s is not None]
    spans = [row.delay_s for row in SEQUENCES.values() if row.delay_s is not None]
    if len(times) < 2 or not before or not spans or times[1] - times[0] > _LONGEST_FIRST_GAP_S:
        return None
    return _Injection(at_s=times[0] - _usual_s(min(spans)), confidence=_FIRST_SEEN, rule="times within the study")


def _usual_s(span_s: tuple[float, float]) -> float:
    return span_s[0] + (span_s[1] - span_s[0]) * _TYPICAL


def _by_time(line: list[Moment], injection: _Injection) -> Mapping[int, Evidence]:
    found = {}
    for moment in line:
        if moment.stated or moment.at_s is None:
            continue
        delay_s = moment.at_s - injection.at_s
        if (evidence := _timed(moment, delay_s, injection)) is not None:
            found[moment.number] = evidence
    return found


def _timed(moment: Moment, delay_s: float, injection: _Injection) -> Evidence | None:
    if delay_s >= 0:
        return delayed(delay_s, rule=injection.rule, confidence=injection.confidence, source="it was taken about")
    if moment.timing.after or BEFORE_CONTRAST not in SEQUENCES:
        return _unknown("its name says after contrast, but the times of its study say before", "contradiction")
    says = "the times of its study say that it was taken before the injection"
    return Evidence(code=BEFORE_CONTRAST, rule=injection.rule, confidence=injection.confidence, says=says)


def _by_order(before: list[Moment], posts: list[Moment]) -> Mapping[int, Evidence]:
    """Phases by order alone; only without times, which would show the order to mean little."""
    timed = [moment for moment in posts if moment.at_s is not None]
    certain = bool(before) or any(moment.timing.after or moment.stated for moment in posts)
    if timed or not certain:
        return {}
    codes = _ordered_codes(posts)
    if any(moment.stated not in ("", code) for moment, code in zip(posts, codes, strict=True)):
        return {}
    ordered = enumerate(zip(posts, codes, strict=True))
    return {moment.number: _ordered(code, place) for place, (moment, code) in ordered if code or len(posts) > 1}


def _ordered_codes(posts: list[Moment]) -> list[str]:
    """Code of each by its place: the phases in their order, the last one last; empty in between."""
    by_delay = sorted((row.delay_s, code) for code, row in SEQUENCES.items() if row.delay_s is not None)
    codes = [code for _, code in by_delay]
    if len(posts) < max(ORDERED_SET, len(codes)):
        first = [codes[0]] if codes and posts and posts[0].timing.after and posts[0].timing.rank == 1 else []
        return first + [""] * (len(posts) - len(first))
    return codes[:-1] + [""] * (len(posts) - len(codes)) + codes[-1:]


def _ordered(code: str, place: int) -> Evidence:
    if not code:
        return _unknown("it is one of several series after contrast, and neither name nor time tell which", "order")
    says = f"it is number {place + 1} of the series after contrast"
    return Evidence(code=code, rule="order within the study", confidence=_ORDER, says=says)


def _left_open(moment: Moment) -> Evidence:
    if moment.several:
        return _unknown("it holds several phases, which have to be divided first", "several phases")
    if moment.after:
        return _unknown("contrast was given before it, and neither name nor time nor study tell when", "after contrast")
    return _unknown("neither name nor time nor study tell whether contrast had been given", "open phase")


def _unknown(says: str, rule: str) -> Evidence:
    return Evidence(code=UNKNOWN, rule=rule, confidence=0.3, says=says)
