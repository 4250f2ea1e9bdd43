"""The sequence of an image, and the reason that a reader sees."""

import pytest

from lib.domain.errors import UnknownSequenceError, UnrecognisedSeriesError
from lib.ingest.recognise import recognise


def never() -> dict[str, float]:
    pytest.fail("the pixels were read although something else told")


def test_the_request_wins_over_everything() -> None:
    guess = recognise(requested="NP", metadata="CP", image_id="P1_DP", classify=never)
    assert (guess.code, guess.source) == ("NP", "request")


def test_metadata_wins_over_the_name() -> None:
    guess = recognise(metadata="CP", image_id="P1_DP", classify=never)
    assert (guess.code, guess.source) == ("CP", "metadata")


def test_the_name_tells_when_metadata_do_not() -> None:
    guess = recognise(image_id="P1_t2wi", classify=never)
    assert (guess.code, guess.source) == ("T2WI", "filename")


def test_pixels_are_the_last_resort_and_say_how_sure() -> None:
    guess = recognise(image_id="scan", classify=lambda: {"T1WI": 0.2, "CP": 0.7, "NP": 0.1})
    assert (guess.code, guess.source, guess.probability) == ("CP", "image", 0.7)
    assert "looks like CP (70%), next T1WI (20%)" in guess.reason


def test_an_unknown_code_is_refused() -> None:
    with pytest.raises(UnknownSequenceError, match="'FLAIR'"):
        recognise(requested="FLAIR")


def test_without_any_evidence_it_says_so() -> None:
    with pytest.raises(UnrecognisedSeriesError, match="expected one of: T1WI"):
        recognise(image_id="scan")
