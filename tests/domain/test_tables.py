"""The tables are complete and refuse what they do not hold."""

import itertools

import pytest

from lib.domain.errors import BadCohortError, UnknownSequenceError, UnknownStructureError
from lib.domain.records import check_image_id
from lib.domain.scanners import VENDORS, vendor_of
from lib.domain.sequences import SEQUENCES, get_sequence
from lib.domain.structures import STRUCTURES, structure_names


def test_an_unknown_sequence_names_what_is_expected() -> None:
    with pytest.raises(UnknownSequenceError, match=r"'FLAIR'.*T1WI, T2WI, CP, NP, DP"):
        get_sequence("FLAIR")


def test_codes_are_their_own_keys_and_safe_in_file_names() -> None:
    for code, row in SEQUENCES.items():
        assert row.code == code
        assert code.isalnum()


def test_phases_follow_each_other_without_overlap() -> None:
    delays = [row.delay_s for row in SEQUENCES.values() if row.delay_s]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(delays))


def test_structure_values_run_from_one_without_gaps() -> None:
    assert [row.value for row in STRUCTURES.values()] == list(range(1, len(STRUCTURES) + 1))


def test_an_unknown_structure_is_refused() -> None:
    with pytest.raises(UnknownStructureError, match=r"'tumour'.*kidney, mass, cyst"):
        structure_names(["mass", "tumour"])


@pytest.mark.parametrize(
    ("manufacturer", "vendor"),
    [
        ("GE MEDICAL SYSTEMS", "GE"),
        ("SIEMENS", "Siemens"),
        ("Siemens Healthineers", "Siemens"),
        ("Philips Medical Systems", "Philips"),
        ("TOSHIBA_MEC", "Canon"),
        ("Canon Medical Systems", "Canon"),
        ("UIH", "UIH"),
        ("Hitachi", "unknown"),
        ("", "unknown"),
    ],
)
def test_headers_name_the_vendor(manufacturer: str, vendor: str) -> None:
    assert vendor_of(manufacturer) == vendor


def test_a_vendor_of_the_table_is_itself() -> None:
    assert [vendor_of(name) for name in VENDORS] == list(VENDORS)


@pytest.mark.parametrize("image_id", ["", "../x", "a/b", "a\\b", "a b", "a.b", "a\n", "-a", "x" * 129, "é"])
def test_an_unsafe_image_id_is_refused(image_id: str) -> None:
    with pytest.raises(BadCohortError, match="letters, digits"):
        check_image_id(image_id)
