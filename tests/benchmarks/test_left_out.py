"""The figures of a group of vendors."""

from benchmarks.left_out import summary
from lib.domain.records import CaseScore


def score(mass: float | None, *, found: bool | None, false_positives: int = 0) -> CaseScore:
    return CaseScore(image_id="P1_NP", dice={"kidney": 0.9, "mass": mass}, found=found, false_positives=false_positives)


def test_a_false_mass_where_there_is_none_counts_as_that_and_not_as_a_dice_of_zero() -> None:
    scores = [
        score(0.8, found=True),
        score(0.0, found=False, false_positives=1),
        score(0.0, found=None, false_positives=2),
        score(None, found=None),
    ]
    figures = summary(scores)
    assert (figures["images"], figures["mean_mass_dsc"], figures["found"]) == (2, 0.4, 0.5)
    assert figures["false_positives_per_image"] == 0.75


def test_of_nothing_there_are_no_figures() -> None:
    assert set(summary([]).values()) == {0, None}
