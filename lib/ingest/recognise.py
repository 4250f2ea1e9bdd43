"""Which sequence an image is: from the request, its metadata, its name, its sidecar, else from its pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lib.domain.cohort import record_of
from lib.domain.errors import UnrecognisedSeriesError
from lib.domain.records import SequenceGuess, SeriesGuess
from lib.domain.sequences import OTHER, SEQUENCES, get_sequence
from lib.ingest.headers import header_of_sidecar
from lib.ingest.study import SURE, recognise_series

Classifier = Callable[[], Mapping[str, float]]


def recognise(
    *,
    requested: str = "",
    metadata: str = "",
    image_id: str = "",
    sidecar: Mapping[str, object] | None = None,
    classify: Classifier | None = None,
) -> SequenceGuess:
    """Tell which sequence an image is, and why.

    Args:
        requested: Code that the user asked for; wins over everything.
        metadata: Code in the cohort table.
        image_id: Id or file name; ``<patient_id>_<code>`` tells the code.
        sidecar: What dcm2niix wrote beside the image; counts when it is sure.
        classify: Reads the pixels and returns a probability per code; called only when nothing else tells.

    Raises:
        UnknownSequenceError: When the requested or recorded code is not in the table.
        UnrecognisedSeriesError: When the sidecar is sure that it is none of them, or nothing tells and there is no
            classifier.
    """
    if requested:
        code = get_sequence(requested).code
        return SequenceGuess(code=code, source="request", probability=1.0, reason=f"the request asked for {code}")
    if metadata:
        code = get_sequence(metadata).code
        return SequenceGuess(code=code, source="metadata", probability=1.0, reason=f"the cohort table says {code}")
    if code := record_of(image_id).sequence:
        return SequenceGuess(code=code, source="filename", probability=1.0, reason=f"the file name ends in {code}")
    series = recognise_series(header_of_sidecar(sidecar)) if sidecar else None
    if series and series.confidence >= SURE:
        return _from_sidecar(series)
    if classify is None:
        msg = f"neither metadata nor name tell the sequence; expected one of: {', '.join(SEQUENCES)}"
        raise UnrecognisedSeriesError(msg)
    return _from_pixels(classify(), "the sidecar leaves it open" if series else "no metadata")


def _from_sidecar(series: SeriesGuess) -> SequenceGuess:
    if series.code == OTHER:
        msg = f"the sidecar says {series.reason}; expected one of: {', '.join(SEQUENCES)}"
        raise UnrecognisedSeriesError(msg)
    reason = f"the sidecar says {series.reason}"
    return SequenceGuess(code=series.code, source="sidecar", probability=series.confidence, reason=reason)


def _from_pixels(probabilities: Mapping[str, float], lead: str) -> SequenceGuess:
    ranked = sorted(probabilities.items(), key=lambda item: item[1], reverse=True)
    (code, probability), (second, next_best) = ranked[0], ranked[1]
    reason = f"{lead}; the image looks like {code} ({probability:.0%}), next {second} ({next_best:.0%})"
    return SequenceGuess(code=code, source="image", probability=probability, reason=reason)
