"""When a T1 series was taken: what one header says, by words, by a time in its name, by the time of injection."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lib.domain.sequences import OTHER, SEQUENCES, UNKNOWN
from lib.ingest.headers import SeriesHeader, seconds_between
from lib.ingest.rules import AFTER_CONTRAST, BEFORE_CONTRAST, DYNAMIC, Rule, normalised
from lib.ingest.rules_phase import PHASES

SHORTEST_DELAY_S = 15.0
LONGEST_DELAY_S = 2400.0
"""Injection times further from the series than this are taken for a slip of the header."""

_NO_AGENT = re.compile(r"(?:no|none|without|ohne|n/?a|nil|0|-)?", re.IGNORECASE)
_DELAY = re.compile(
    r"(?<![\d.,])(\d{1,3}(?:[.,]\d)?)[ _-]?(?:(min(?:s|uten?|utes?)?|分钟?)|(s|secs?|sek|seconds?|秒))(?![a-z])"
)
_RANK_AFTER = re.compile(r"(\d)(?:st|nd|rd|th)(?![a-z])|(?:postcontrast|post|gd|km|ce) (\d)(?![\d]| ?(?:s|min|sec))")
_RANK_DYNAMIC = re.compile(r"(?:dyn\w*?|ph|phase|meas) ?(\d{1,2})(?!\d| ?(?:s|min|sec))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One reason for one phase.

    Attributes:
        runner_up: Phase that it is next to, or that is likeliest when ``code`` is ``unknown``.
        delay_s: Delay after injection where it is stated.
    """

    code: str
    rule: str
    confidence: float
    says: str
    runner_up: str = ""
    delay_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What one T1 header says of when it was taken.

    Attributes:
        evidence: For phases, best first; empty when it leaves the phase open.
        after: Whether its name says that contrast had been given.
        agent: Whether it states a contrast agent, which some scanners do for the whole examination.
        dynamic: Whether it says that it belongs to a dynamic set.
        rank: Its place in the set, from 1.
        several: Whether it holds several phases that have not been divided.
    """

    evidence: tuple[Evidence, ...]
    after: bool
    agent: bool
    dynamic: bool
    rank: int | None
    several: bool


def timing_of(header: SeriesHeader) -> Timing:
    """Read what one header says of when its series was taken."""
    rules = _phase_rules(header)
    evidence = [
        Evidence(code=rule.gives, rule=rule.name, confidence=rule.confidence, says=rule.says)
        for rule in rules
        if rule.gives not in (AFTER_CONTRAST, DYNAMIC)
    ]
    evidence += [found for found in (_named_delay(header), _measured_delay(header)) if found]
    ranks = _ranks(header)
    return Timing(
        evidence=tuple(sorted(evidence, key=lambda one: -one.confidence)),
        after=any(rule.gives == AFTER_CONTRAST for rule in rules) or ranks[0] is not None,
        agent=_agent_given(header),
        dynamic=any(rule.gives == DYNAMIC for rule in rules) or ranks[1] is not None,
        rank=next((rank for rank in ranks if rank is not None), None),
        several=(header.temporal_positions or 1) > 1 and header.temporal_position is None,
    )


def _agent_given(header: SeriesHeader) -> bool:
    return _NO_AGENT.fullmatch(header.contrast_agent.strip()) is None


def taken_at_s(header: SeriesHeader) -> float | None:
    """Time of day at which the series began, from the best of its times."""
    times = (header.acquisition_time_s, header.series_time_s, header.content_time_s)
    return next((time_s for time_s in times if time_s is not None), None)


def phase_at(delay_s: float) -> str:
    """Code of the phase this long after injection: the row of SEQUENCES that begins last; ``other`` after all of them.

    Below the first phase it is ``unknown``.
    """
    spans = {code: row.delay_s for code, row in SEQUENCES.items() if row.delay_s is not None}
    fitting = [code for code, (start, end) in spans.items() if start <= delay_s <= end]
    if fitting:
        return max(fitting, key=lambda code: spans[code][0])
    return OTHER if spans and delay_s > max(end for _, end in spans.values()) else UNKNOWN


def delayed(delay_s: float, *, rule: str, confidence: float, source: str) -> Evidence | None:
    """Evidence from a delay after injection; None when it is too short to be one."""
    code = phase_at(delay_s)
    if code == UNKNOWN:
        return None
    says = f"{source} {delay_s:.0f} s after injection"
    return Evidence(
        code=code, rule=rule, confidence=confidence, says=says, runner_up=_neighbour(delay_s, code), delay_s=delay_s
    )


def _neighbour(delay_s: float, code: str) -> str:
    """The phase that begins or ends nearest to this delay, other than its own."""
    edges = {
        other: min(abs(delay_s - edge) for edge in row.delay_s)
        for other, row in SEQUENCES.items()
        if row.delay_s is not None and other != code
    }
    return min(edges, key=lambda other: edges[other], default="")


def _phase_rules(header: SeriesHeader) -> list[Rule]:
    """Rows that fit the description, else the protocol name, which on GE names the whole examination."""
    names = [header.series_description] + ([header.protocol_name] if header.manufacturer != "GE" else [])
    for name in map(normalised, names):
        if rules := [rule for rule in PHASES if rule.fits(header, name) and _has_row(rule)]:
            return rules
    return []


def _has_row(rule: Rule) -> bool:
    return rule.gives in SEQUENCES or rule.gives in (AFTER_CONTRAST, DYNAMIC)


def _named_delay(header: SeriesHeader) -> Evidence | None:
    found = _DELAY.search(header.series_description.lower())
    if not found:
        return None
    number, minutes, _ = found.groups()
    delay_s = float(number.replace(",", ".")) * (60 if minutes else 1)
    return delayed(delay_s, rule="time in the name", confidence=0.9, source="its name says")


def _measured_delay(header: SeriesHeader) -> Evidence | None:
    delay_s = seconds_between(header.contrast_time_s, taken_at_s(header))
    if delay_s is None or abs(delay_s) > LONGEST_DELAY_S:
        return None
    if delay_s < -SHORTEST_DELAY_S and BEFORE_CONTRAST in SEQUENCES:
        says = f"it was taken {-delay_s:.0f} s before the injection"
        return Evidence(code=BEFORE_CONTRAST, rule="time of injection", confidence=0.85, says=says)
    return delayed(delay_s, rule="time of injection", confidence=0.85, source="it was taken")


def _ranks(header: SeriesHeader) -> tuple[int | None, int | None]:
    """Place among the series after contrast, and place in a dynamic set."""
    name = normalised(header.series_description)
    after, dynamic = _RANK_AFTER.search(name), _RANK_DYNAMIC.search(name)
    place = int(dynamic[1]) if dynamic else None
    if place is None and (header.temporal_positions or 1) > 1:
        place = header.temporal_position
    return int(after[1] or after[2]) if after else None, place
