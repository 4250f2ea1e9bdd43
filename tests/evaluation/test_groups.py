"""The study's groups, by rule or by name."""

import pytest

from lib.domain.records import CaseRecord
from lib.evaluation.groups import group_rules
from lib.evaluation.report import Options


def record(patient: str, centre: str, vendor: str, **clinical: str) -> CaseRecord:
    return CaseRecord(
        image_id=f"{patient}_CP", patient_id=patient, sequence="CP", centre=centre, vendor=vendor, clinical=clinical
    )


COHORT = [
    record("1", "B", "GE MEDICAL SYSTEMS", sex="F"),
    record("2", "B", "GE", sex="M"),
    record("3", "A", "GE"),
    record("4", "B", "SIEMENS"),
    record("5", "", "GE"),
    record("6", "B", "Acme"),
]


def members(options: Options) -> dict[str, list[str]]:
    rules, _ = group_rules(COHORT, options)
    return {rule.name: [one.patient_id for one in COHORT if rule.holds(one)] for rule in rules}


def test_internal_is_the_centre_with_most_patients_on_the_training_vendor() -> None:
    assert members(Options()) == {
        "all": ["1", "2", "3", "4", "5", "6"],
        "internal": ["1", "2"],
        "external": ["3"],
        "non-GE": ["4"],
    }


def test_named_internal_centres_win() -> None:
    found = members(Options(internal_centres=("A",)))
    assert (found["internal"], found["external"]) == (["3"], ["1", "2"])


def test_a_column_makes_a_group_of_each_value() -> None:
    found = members(Options(group_by=("sex",)))
    assert (found["sex: F"], found["sex: M"]) == (["1"], ["2"])


@pytest.mark.parametrize(
    ("options", "seen"),
    [(Options(group_by=("colour",)), "colour"), (Options(internal_centres=("Z",)), "Z")],
)
def test_what_the_table_does_not_have_is_a_problem(options: Options, seen: str) -> None:
    _, problems = group_rules(COHORT, options)
    assert [problem.seen for problem in problems if seen in problem.seen]


def test_without_the_training_vendor_nothing_is_internal() -> None:
    rules, _ = group_rules([record("1", "A", "Philips")], Options())
    assert not any(rule.holds(record("1", "A", "Philips")) for rule in rules if rule.name == "internal")
