"""The table of what is proposed for unusual kidneys."""

from benchmarks.unusual_kidneys import KINDS, SEED, Row, line
from lib.phantom.cohort import make_patient


def test_both_in_place_are_as_drawn() -> None:
    anatomy = make_patient(SEED, 0).anatomy
    assert KINDS["both"](anatomy) == anatomy


def test_the_table_counts_kidneys_and_masses() -> None:
    good = Row(kidneys=2, boxes=2, everywhere=False, outlined=2, proposed_ml=300, mass_found=True, false_masses=0)
    poor = Row(kidneys=2, boxes=1, everywhere=True, outlined=1, proposed_ml=100, mass_found=False, false_masses=3)
    assert line("NP", "pelvic", [good, poor]) == "| NP | pelvic | 1.5 | 1 of 2 | 3 of 4 | 200 | 1 of 2 | 1.5 |"
