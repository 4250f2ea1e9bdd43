"""Series of five vendors and three languages are told apart, alone and in their study."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.domain.sequences import OTHER, SEQUENCES, UNKNOWN, SequenceSpec
from lib.ingest.headers import SeriesHeader, header_of_dataset, header_of_sidecar
from lib.ingest.phases import phase_at
from lib.ingest.rules import normalised
from lib.ingest.rules_phase import PHASES
from lib.ingest.study import KINDS, SURE, recognise_series, recognise_study
from lib.phantom.cohort import SMALL_SIZE, make_case
from tests.ingest.rows import HERE, series, studies

SHARED = Path(__file__).parents[3] / "shared" / "data"
FILES = ("series_design.csv", "series_heldout.csv", "series_found.csv")
ROWS = [(f"{name}-{row}", header, code) for name in FILES for row, header, code in series(HERE / name)]
STUDIES = {
    f"{name}-{study}": rows
    for name in ("studies_design.csv", "studies_heldout.csv")
    for study, rows in studies(HERE / name).items()
}
CODES = {*SEQUENCES, OTHER, UNKNOWN}


@pytest.mark.parametrize(("header", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_series_alone(header: SeriesHeader, expected: str) -> None:
    guess = recognise_series(header)
    assert guess.code == expected, guess
    assert guess.confidence < SURE or guess.code != UNKNOWN


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES.keys())
def test_a_study(study: list[tuple[SeriesHeader, str]]) -> None:
    guesses = recognise_study([header for header, _ in study])
    assert [guess.code for guess in guesses] == [code for _, code in study], guesses


@pytest.mark.skipif(not (SHARED / "headers").is_dir(), reason="the folder of real header values is not on this machine")
def test_series_names_seen_in_real_studies() -> None:
    wrong = [
        (name, guess.code, code)
        for name, header, code in series(SHARED / "headers" / "series_names.csv")
        if (guess := recognise_series(header)).code != code
    ]
    assert not wrong


@pytest.mark.skipif(not (SHARED / "dicom").is_dir(), reason="the folder of real DICOM slices is not on this machine")
@pytest.mark.parametrize("vendor", ["ge", "siemens", "philips", "uih"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_slices_of_brain_and_phantom_are_none_of_them(vendor: str) -> None:
    for path in sorted((SHARED / "dicom" / vendor).glob("*.dcm")):
        assert recognise_series(header_of_dataset(pydicom.dcmread(path, stop_before_pixels=True))).code == OTHER


def test_the_sidecar_of_a_phantom_tells_its_sequence(sequence: SequenceSpec) -> None:
    for vendor in ("GE", "Siemens", "Philips", "Canon", "UIH"):
        case = make_case(0, 1, sequence.code, vendors=[vendor], size=SMALL_SIZE)
        assert recognise_series(header_of_sidecar(case.sidecar)).code == sequence.code


def test_the_third_series_after_contrast_is_not_the_first() -> None:
    vibe = SeriesHeader(manufacturer="Siemens", series_description="t1_vibe_fs_tra", scanning_sequence=("GR",))
    posts = [replace(vibe, series_number=number, series_description="t1_vibe_fs_tra_post") for number in (6, 7, 8)]
    guesses = recognise_study([replace(vibe, series_number=5), *posts])
    assert [guess.code for guess in guesses] == ["T1WI", "CP", "NP", "DP"]
    assert guesses[3].reason.endswith("it is number 3 of the series after contrast")
    assert recognise_series(posts[2]).code == UNKNOWN


def test_several_phases_in_one_series_are_left_to_a_person() -> None:
    dynamic = SeriesHeader(manufacturer="Philips", series_description="dyn_eTHRIVE", temporal_positions=4)
    assert "divided first" in recognise_series(dynamic).reason


def test_phases_that_were_divided_by_time_are_placed() -> None:
    dynamic = SeriesHeader(
        manufacturer="Philips", series_description="dyn_eTHRIVE", series_number=6, temporal_positions=4
    )
    times = (36_000.0, 36_090.0, 36_140.0, 36_270.0)
    guesses = recognise_study([replace(dynamic, acquisition_time_s=time_s) for time_s in times])
    assert [guess.code for guess in guesses] == ["T1WI", "CP", "NP", "DP"]


def test_a_name_that_the_times_contradict_is_not_sure() -> None:
    late = SeriesHeader(
        manufacturer="GE", series_description="Ax LAVA arterial", contrast_time_s=36_000, acquisition_time_s=36_200
    )
    guess = recognise_series(late)
    assert (guess.code, guess.runner_up) == ("CP", "DP")
    assert guess.confidence < recognise_series(replace(late, contrast_time_s=None)).confidence
    assert "although it was taken 200 s after injection" in guess.reason


def test_an_agent_in_every_header_does_not_hide_the_one_before_contrast() -> None:
    lava = SeriesHeader(manufacturer="GE", series_description="Ax LAVA", contrast_agent="GADAVIST")
    times = (36_000, 36_200, 36_250, 36_400)
    study = [replace(lava, acquisition_time_s=time_s, series_number=number) for number, time_s in enumerate(times)]
    assert [guess.code for guess in recognise_study(study)] == ["T1WI", "CP", "NP", "DP"]


def test_phases_of_one_series_are_told_apart_by_their_trigger_times() -> None:
    disco = SeriesHeader(
        manufacturer="GE", series_description="Ax DISCO", series_number=7, acquisition_time_s=36_000,
        contrast_time_s=36_000 - 1, temporal_positions=4,
    )  # fmt: skip
    named = replace(disco, series_description="Ax DISCO arterial", temporal_position=1, trigger_time_ms=0.0)
    phases = [replace(disco, temporal_position=2, trigger_time_ms=ms) for ms in (60_000.0, 200_000.0)]
    assert [guess.code for guess in recognise_study([named, *phases])] == ["CP", "NP", "DP"]


def test_a_sixth_sequence_has_no_rule_and_breaks_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SEQUENCES, "HBP", SequenceSpec(code="HBP", title="x", weighting="T1", delay_s=(900, 1500)))
    assert phase_at(1000) == "HBP"
    assert [recognise_series(header).code for _, header, _ in ROWS].count("HBP") == 0


@pytest.fixture
def fewer_sequences() -> Iterator[None]:
    """Two rows are missing; put back in their places, since the table's order is the order of time."""
    rows = dict(SEQUENCES)
    del SEQUENCES["NP"], SEQUENCES["T2WI"]
    yield
    SEQUENCES.clear()
    SEQUENCES.update(rows)


@pytest.mark.usefixtures("fewer_sequences")
def test_a_missing_sequence_is_never_answered() -> None:
    codes = {recognise_series(header).code for _, header, _ in ROWS}
    codes |= {guess.code for study in STUDIES.values() for guess in recognise_study([header for header, _ in study])}
    assert codes <= {*SEQUENCES, OTHER, UNKNOWN}


def test_every_row_of_the_tables_is_filled_and_decides_something_known() -> None:
    for rule in KINDS + PHASES:
        cells = (rule.words, rule.image_type, rule.sequence, rule.body_part, rule.scanning, rule.te_ms, rule.b_value)
        assert any(cells), rule.name
        assert 0 < rule.confidence < 1


def test_a_name_is_read_without_case_accents_and_punctuation() -> None:
    assert normalised("T1_VIBE-venös (Spätphase)") == "t1 vibe venos spatphase"
    assert normalised("Ax LAVA C+") == normalised("Ax LAVA +C") == "ax lava postcontrast"
    assert normalised("LAVA　动脉期/Ph2") == "lava 动脉期 ph2"


NAMES = st.sampled_from([header.series_description for _, header, _ in ROWS]) | st.text(
    alphabet="t12 w_-+c/art期fbinop3min", max_size=30
)
NUMBERS = st.none() | st.floats(allow_nan=False, min_value=-1e6, max_value=1e6)
HEADERS = st.builds(
    SeriesHeader,
    manufacturer=st.sampled_from(["GE", "Siemens", "Philips", "Canon", "UIH", "", "Fonar"]),
    series_description=NAMES,
    protocol_name=NAMES,
    scanning_sequence=st.sampled_from([(), ("GR",), ("SE",), ("EP", "SE")]),
    tr_ms=NUMBERS,
    te_ms=NUMBERS,
    b_value=NUMBERS,
    series_number=st.none() | st.integers(),
    temporal_positions=st.none() | st.integers(),
    temporal_position=st.none() | st.integers(),
    contrast_agent=st.sampled_from(["", "none", "Gadovist"]),
    contrast_time_s=st.none() | st.floats(0, 86_399),
    acquisition_time_s=st.none() | st.floats(0, 86_399),
    trigger_time_ms=NUMBERS,
)


@settings(deadline=None)
@given(st.lists(HEADERS, max_size=8))
def test_any_study_gets_an_answer_with_a_reason(headers: list[SeriesHeader]) -> None:
    guesses = recognise_study(headers)
    assert len(guesses) == len(headers)
    for guess in guesses:
        assert guess.code in CODES
        assert guess.runner_up in {*CODES, ""}
        assert guess.runner_up != guess.code
        assert 0 <= guess.confidence <= 1
        assert guess.rule
        assert guess.reason


@settings(deadline=None)
@given(st.sampled_from(sorted(STUDIES)), st.randoms(use_true_random=False))
def test_the_order_of_the_headers_does_not_matter(name: str, rng: random.Random) -> None:
    headers = [header for header, _ in STUDIES[name]]
    order = rng.sample(range(len(headers)), len(headers))
    guesses = recognise_study([headers[place] for place in order])
    expected = recognise_study(headers)
    assert guesses == [expected[place] for place in order]


@settings(deadline=None)
@given(st.lists(HEADERS, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_nor_does_it_in_any_study_with_times(headers: list[SeriesHeader], rng: random.Random) -> None:
    dated = [
        replace(header, acquisition_time_s=36_000.0 + 40 * place, series_number=place)
        for place, header in enumerate(headers)
    ]
    order = rng.sample(range(len(dated)), len(dated))
    expected = recognise_study(dated)
    assert recognise_study([dated[place] for place in order]) == [expected[place] for place in order]


@settings(deadline=None)
@given(HEADERS, st.text(alphabet="QXZJ", min_size=6, max_size=9))
def test_a_reason_never_quotes_the_header(header: SeriesHeader, patient: str) -> None:
    named = replace(header, series_description=f"{header.series_description} {patient}", protocol_name=patient)
    assert patient not in recognise_series(named).reason
