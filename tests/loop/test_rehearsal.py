"""Few new labels are not drowned by many earlier ones, and the earlier ones are not forgotten."""

from pathlib import Path

import pytest

from lib.domain.records import LabelledImage
from lib.loop.rehearsal import rehearsed


def cases(count: int, first: str) -> list[LabelledImage]:
    return [
        LabelledImage(
            image_id=f"{first}{number}_CP",
            patient_id=f"{first}{number}",
            image=Path(f"{first}{number}.nii.gz"),
            label=Path(f"{first}{number}-label.nii.gz"),
            drawn=frozenset({"mass"}),
        )
        for number in range(count)
    ]


def is_old(case: LabelledImage) -> bool:
    return case.image_id.startswith("old")


def share_of_old(weighed: list[LabelledImage]) -> float:
    return sum(case.weight for case in weighed if is_old(case)) / sum(case.weight for case in weighed)


def test_many_earlier_cases_get_their_share_and_no_more() -> None:
    weighed = rehearsed([*cases(90, "old"), *cases(10, "new")], is_old, 0.5)
    assert share_of_old(weighed) == pytest.approx(0.5)
    assert sum(case.weight for case in weighed) == pytest.approx(100)


def test_few_earlier_cases_are_not_looked_at_more_often_than_new_ones() -> None:
    weighed = rehearsed([*cases(10, "old"), *cases(90, "new")], is_old, 0.5)
    assert share_of_old(weighed) == pytest.approx(0.1)


@pytest.mark.parametrize("first", ["old", "new"])
def test_cases_of_one_kind_are_left_as_they_are(first: str) -> None:
    assert rehearsed(cases(3, first), is_old, 0.25) == cases(3, first)


def test_without_rehearsal_earlier_cases_are_never_seen() -> None:
    assert share_of_old(rehearsed([*cases(5, "old"), *cases(5, "new")], is_old, 0.0)) == 0


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        rehearsed(cases(2, "new"), is_old, 1.5)
