"""What makes one volume: phases are told apart, and a slice too few or too many is seen."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.ingest.dicom_series import MIN_SLICES, stacks_of
from lib.ingest.dicom_slices import MR_IMAGE, Slice

COUNT = 12
SPACING_MM = 3.0


def one_slice(k: float, *, name: str = "", **changed: object) -> Slice:
    values: dict[str, object] = {
        "path": Path(f"{name}{k}.dcm"),
        "sop_uid": f"1.{name}{k}",
        "sop_class": MR_IMAGE,
        "study_uid": "1.2",
        "series_uid": "1.2.3",
        "patient_id": "4711",
        "modality": "MR",
        "study_date": "20210304",
        "series_number": 4,
        "size": (24, 32),
        "pixel_mm": (1.5, 1.5),
        "position_lps": (-20.0, -30.0, k * SPACING_MM),
        "orientation_lps": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        "announced": None,
        "image_type": ("ORIGINAL", "PRIMARY", "M"),
        "phase": {"AcquisitionTime": "101500", "EchoTime": 1.9},
    }
    return Slice(**{**values, **changed})


def volume(count: int = COUNT, *, name: str = "", **changed: object) -> list[Slice]:
    return [one_slice(k, name=name, **changed) for k in range(count)]


def phases(keyword: str, values: list[object]) -> list[Slice]:
    return [one for n, value in enumerate(values) for one in volume(name=f"{n}-", phase={keyword: value})]


def problem_of(slices: list[Slice]) -> str:
    (stack,) = stacks_of(slices)
    return stack.problem


def test_a_whole_series_is_one_stack_sorted_along_its_normal() -> None:
    slices = volume()
    random.Random(1).shuffle(slices)
    (stack,) = stacks_of(slices)
    assert stack.problem == stack.part == ""
    assert [one.position_lps[2] for one in stack.slices] == [k * SPACING_MM for k in range(COUNT)]


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("TemporalPositionIdentifier", [1.0, 2.0, 3.0]),
        ("AcquisitionNumber", [3.0, 4.0]),
        ("TriggerTime", [0.0, 28000.0, 60000.0]),
        ("AcquisitionTime", ["101500.25", "101530", "101610"]),
        ("EchoTime", [1.15, 2.3]),
    ],
)
def test_phases_in_one_series_become_volumes_of_their_own(keyword: str, values: list[object]) -> None:
    stacks = stacks_of(phases(keyword, values))
    assert [stack.problem for stack in stacks] == [""] * len(values)
    assert [{one.phase[keyword] for one in stack.slices} for stack in stacks] == [{value} for value in values]
    assert len({stack.part for stack in stacks}) == len(values)
    assert stacks[0].note == f"part 1 of {len(values)} by {keyword}"


def test_water_and_fat_images_in_one_series_are_told_apart() -> None:
    slices = volume(name="w") + volume(name="f", image_type=("DERIVED", "PRIMARY", "FAT"))
    assert [stack.problem for stack in stacks_of(slices)] == ["", ""]


def test_two_phases_of_two_echoes_are_four_volumes() -> None:
    slices = [
        one_slice(k, name=f"{n}-{echo}-", phase={"TemporalPositionIdentifier": n, "EchoTime": echo})
        for n in (1.0, 2.0)
        for echo in (1.2, 2.4)
        for k in range(COUNT)
    ]
    stacks = stacks_of(slices)
    assert [(len(stack.slices), stack.problem) for stack in stacks] == [(COUNT, "")] * 4


def test_two_dimensional_phases_are_cut_in_order_of_time() -> None:
    slices = [
        one_slice(k, name=f"{n}-", phase={"AcquisitionTime": f"10{15 + n:02d}{k:02d}"})
        for n in range(3)
        for k in range(COUNT)
    ]
    stacks = stacks_of(slices)
    assert [stack.problem for stack in stacks] == [""] * 3
    assert all(len({one.path.name[0] for one in stack.slices}) == 1 for stack in stacks)


def test_interleaved_phases_that_no_header_tells_apart_are_refused() -> None:
    slices = [one_slice(k, name=f"{n}-", phase={}) for n in range(2) for k in range(COUNT)]
    assert "12 of 12 positions occur more than once" in problem_of(slices)


def test_phases_at_different_positions_are_still_two_volumes() -> None:
    near = volume(name="a", phase={"TemporalPositionIdentifier": 1.0})
    far = [one_slice(k + 0.5, name="b", phase={"TemporalPositionIdentifier": 2.0}) for k in range(COUNT)]
    assert [(len(stack.slices), stack.problem) for stack in stacks_of(near + far)] == [(COUNT, "")] * 2


@settings(max_examples=60, deadline=None)
@given(
    phase=st.integers(0, 2), lost=st.sets(st.integers(0, COUNT - 1), min_size=1, max_size=4), seed=st.integers(0, 99)
)
def test_a_phase_that_lost_slices_is_never_converted_and_the_others_are(phase: int, lost: set[int], seed: int) -> None:
    slices = phases("AcquisitionNumber", [1.0, 2.0, 3.0])
    slices = [one for n, one in enumerate(slices) if not (n // COUNT == phase and n % COUNT in lost)]
    random.Random(seed).shuffle(slices)
    stacks = stacks_of(slices)
    assert [bool(stack.problem) for stack in stacks] == [n == phase for n in range(3)]
    assert "missing" in stacks[phase].problem


@given(lost=st.sets(st.integers(1, COUNT - 2), min_size=1, max_size=3))
def test_missing_slices_are_counted(lost: set[int]) -> None:
    slices = [one for k, one in enumerate(volume()) if k not in lost]
    assert problem_of(slices).startswith("1 slice is missing" if len(lost) == 1 else f"{len(lost)} slices are missing")


def test_a_missing_last_slice_is_seen_where_the_header_announces_it() -> None:
    assert "announces 12" in problem_of(volume(announced=COUNT)[:-1])
    assert problem_of(volume(announced=COUNT)) == ""
    assert problem_of(volume(announced=3 * COUNT)) == ""  # all phases together, each in a series of its own


def test_a_duplicated_position_is_refused() -> None:
    assert "1 of 12 positions occur more than once" in problem_of([*volume(), one_slice(4, name="again")])


def test_a_repeated_slice_with_its_own_acquisition_never_joins_the_volume() -> None:
    first = volume(phase={"AcquisitionNumber": 1.0})
    again = one_slice(4, name="again", phase={"AcquisitionNumber": 2.0})
    whole, rest = stacks_of([*first, again])
    assert (len(whole.slices), whole.problem) == (COUNT, "")
    assert "slices are missing" in rest.problem


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"position_lps": (-20.0, -30.0, 4.3 * SPACING_MM)}, "uneven slice distances"),
        ({"position_lps": (-18.0, -30.0, 4 * SPACING_MM)}, "shifted sideways"),
        ({"position_lps": ()}, "1 of 12 images do not say where they lie"),
        ({"size": (24, 24)}, "images of 2 sizes"),
        ({"pixel_mm": (1.6, 1.5)}, "images of 2 sizes"),
        ({"pixel_mm": ()}, "not every image states its size"),
        ({"orientation_lps": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)}, "a localiser: 2 orientations"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "a localiser"),
        ({"image_type": ("DERIVED", "PRIMARY", "ADC")}, "derived: ADC map"),
        ({"modality": "CT"}, "not every image says modality MR"),
        ({"phase": {"EchoTime": 4.6}}, "echo times or image types differ"),
    ],
)
def test_one_odd_slice_stops_the_series(changed: dict[str, object], said: str) -> None:
    slices = volume()
    slices[4] = replace(slices[4], **changed)
    assert said in problem_of(slices)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.104.1", "modality": "DOC"}, "a PDF document"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.2", "modality": "CT"}, "modality CT"),
        ({"sop_class": "1.2.3", "modality": "Mueller^Erika"}, "modality unknown"),
    ],
)
def test_what_is_no_mr_image_says_what_it_is(changed: dict[str, object], said: str) -> None:
    assert problem_of(volume(**changed)).startswith(said)


@pytest.mark.parametrize("count", [1, MIN_SLICES - 1])
def test_too_few_slices_are_no_volume(count: int) -> None:
    assert "expected at least" in problem_of(volume(count))


def test_a_slight_tilt_between_slices_is_rounding() -> None:
    slices = volume()
    slices[3] = replace(slices[3], orientation_lps=(0.99999, 0.003, 0.0, -0.003, 0.99999, 0.0))
    assert problem_of(slices) == ""
