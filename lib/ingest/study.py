"""What each series of a study is: by the tables first, then by the study's line of time."""

from __future__ import annotations

from collections.abc import Sequence

from lib.domain.records import SeriesGuess
from lib.domain.sequences import OTHER, SEQUENCES, UNKNOWN
from lib.ingest.headers import SeriesHeader
from lib.ingest.phases import Evidence, timing_of
from lib.ingest.rules import T1, T2, T2_WEIGHTED, Rule, normalised
from lib.ingest.rules_excluded import NOT_OURS
from lib.ingest.rules_weighting import WEIGHTED
from lib.ingest.timeline import phases

KINDS = NOT_OURS + WEIGHTED
"""Of these rows the first that fits a header says what kind of series it is."""

_NOT_IMAGES = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.104", "1.2.840.10008.5.1.4.1.1.88")
"""SOP classes, by their beginnings: secondary captures, encapsulated documents, reports."""

SURE = 0.6
"""Confidence below which a person should look at a guess before it is used."""

_RIVAL = 0.8
"""Confidence from which on other evidence casts doubt on the best."""

_DOUBT = 0.7
_UNSURE = 0.3

_NO_RULE = Rule(name="no rule", gives=UNKNOWN, says="no rule fits its header", confidence=0.1)
_NOT_MR = Rule(name="not an MR image", gives=OTHER, says="it is not an MR image", confidence=0.99)


def recognise_series(header: SeriesHeader) -> SeriesGuess:
    """Tell which sequence a series is, by its own header alone."""
    return recognise_study([header])[0]


def recognise_study(headers: Sequence[SeriesHeader]) -> list[SeriesGuess]:
    """Tell which sequence each series of one study is.

    Args:
        headers: One per series, or per phase of a series that holds several.

    Returns:
        One guess per header, in their order; ``unknown`` where a person has to decide.
    """
    kinds = [_kind(header) for header in headers]
    t1 = [number for number, kind in enumerate(kinds) if kind.gives == T1]
    series = [(headers[number], timing_of(headers[number])) for number in t1]
    evidence = dict(zip(t1, phases(series), strict=True))
    return [
        _phase_guess(kind, evidence[number]) if number in evidence else _kind_guess(kind)
        for number, kind in enumerate(kinds)
    ]


def _kind(header: SeriesHeader) -> Rule:
    if header.modality not in ("", "MR") or header.sop_class.startswith(_NOT_IMAGES):
        return _NOT_MR
    found = _first_rule(header, header.series_description or header.protocol_name)
    if found is _NO_RULE and header.manufacturer != "GE":  # GE names the whole examination there
        return _first_rule(header, header.protocol_name)
    return found


def _first_rule(header: SeriesHeader, name: str) -> Rule:
    words = normalised(name)
    return next((rule for rule in KINDS if rule.fits(header, words)), _NO_RULE)


def _kind_guess(kind: Rule) -> SeriesGuess:
    code = T2_WEIGHTED if kind.gives == T2 else kind.gives
    if code not in (*SEQUENCES, OTHER):
        code = UNKNOWN
    runner_up = T2_WEIGHTED if code == UNKNOWN and kind is not _NO_RULE and T2_WEIGHTED in SEQUENCES else ""
    return _guess(code, kind.name, kind.confidence, runner_up, kind.says)


def _phase_guess(kind: Rule, evidence: tuple[Evidence, ...]) -> SeriesGuess:
    best = evidence[0]
    rival = next((one for one in evidence if one.code != best.code and one.confidence >= _RIVAL), None)
    if best.code == UNKNOWN:
        return _guess(UNKNOWN, best.rule, best.confidence, best.runner_up, f"{kind.says}, but {best.says}")
    if rival is None:
        confidence = best.confidence * kind.confidence
        return _guess(best.code, best.rule, confidence, best.runner_up, f"{kind.says} and {best.says}")
    if rival.confidence == best.confidence:
        return _guess(UNKNOWN, "evidence disagrees", _UNSURE, best.code, f"{best.says}, but also {rival.says}")
    says = f"{kind.says} and {best.says}, although {rival.says}"
    return _guess(best.code, best.rule, best.confidence * kind.confidence * _DOUBT, rival.code, says)


def _guess(code: str, rule: str, confidence: float, runner_up: str, says: str) -> SeriesGuess:
    verdict = {OTHER: "none of the sequences", UNKNOWN: "not known"}.get(code, code)
    return SeriesGuess(
        code=code, rule=rule, confidence=round(confidence, 3), runner_up=runner_up, reason=f"{verdict}: {says}"
    )
