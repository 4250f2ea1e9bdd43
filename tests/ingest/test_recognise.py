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


SIDECAR = {"Manufacturer": "SIEMENS", "SeriesDescription": "t1_vibe_fs_tra_bh_art", "ScanningSequence": "GR"}


def test_a_sidecar_tells_before_the_pixels() -> None:
    guess = recognise(image_id="scan", sidecar=SIDECAR, classify=never)
    assert (guess.code, guess.source) == ("CP", "sidecar")
    assert guess.reason == (
        "the sidecar says CP: it is a Siemens VIBE or FLASH and its name says arterial or corticomedullary"
    )


def test_the_name_tells_before_a_sidecar() -> None:
    assert recognise(image_id="P1_NP", sidecar=SIDECAR, classify=never).source == "filename"


def test_a_sidecar_that_leaves_it_open_leaves_it_to_the_pixels() -> None:
    after = {**SIDECAR, "SeriesDescription": "t1_vibe_fs_tra_post"}
    guess = recognise(image_id="scan", sidecar=after, classify=lambda: {"CP": 0.3, "DP": 0.7})
    assert (guess.code, guess.source) == ("DP", "image")
    assert guess.reason.startswith("the sidecar leaves it open; the image looks like DP")


def test_a_sidecar_that_says_none_of_them_is_believed() -> None:
    with pytest.raises(UnrecognisedSeriesError, match="diffusion-weighted"):
        recognise(image_id="scan", sidecar={"SeriesDescription": "ep2d_diff_ADC"}, classify=never)
