"""Figures and sentences are written as readers expect them."""

from dataclasses import replace
from typing import get_args

import pytest

from lib.domain.structures import REGIONS
from lib.evaluation.figures import FrocCurve, FrocPoint, Proportion
from lib.evaluation.page.claim import claim
from lib.evaluation.page.drawings import patient_dice, subgroup_plots
from lib.evaluation.page.methods import lead, methods
from lib.evaluation.page.result_tables import sensitivity_at
from lib.evaluation.page.wording import (
    MEASURE_TITLES,
    PROBLEM_TITLES,
    REGION_TITLES,
    listed,
    number,
    p_value,
    proportion,
    with_span,
)
from lib.evaluation.report import ProblemKind, Report
from lib.evaluation.results import MASS_REGION


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (-0.1234, "−0.123"), (-0.0001, "0.000"), (1234.5, "1,234.500"), (0.0, "0.000")]
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("p", "text"), [(None, "–"), (0.0, "< 0.001"), (0.0009, "< 0.001"), (0.001, "0.001"), (1, "1.000")]
)
def test_p_values(p: float | None, text: str) -> None:
    assert p_value(p) == text


def test_a_rate_of_nothing_is_not_defined_and_limits_are_left_out_when_there_are_none() -> None:
    assert proportion(Proportion(count=0, total=0)) == "–"
    assert proportion(Proportion(count=1, total=4, rate=0.25)) == "25.0 % (1/4)"
    assert with_span(0.5, None, None) == "0.500"


def test_lists_end_in_and() -> None:
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


def test_every_kind_of_problem_region_and_measure_has_a_title(example: Report) -> None:
    assert set(PROBLEM_TITLES) == set(get_args(ProblemKind))
    assert set(REGION_TITLES) == set(REGIONS)
    assert example.comparison is not None
    assert {row.measure for row in example.comparison.results} <= set(MEASURE_TITLES)


def test_sensitivity_is_read_without_promising_more_than_a_threshold_gave() -> None:
    points = [(9.0, 0.2, 0.5), (5.0, 0.6, 1.0), (1.0, 0.7, 3.0)]
    curve = FrocCurve(
        criterion="overlap",
        points=tuple(FrocPoint(threshold=t, sensitivity=s, false_positives_per_scan=f) for t, s, f in points),
    )
    assert [sensitivity_at(curve, level) for level in (0.4, 0.5, 2.9, 8)] == [0, 0.2, 0.6, 0.7]


def test_the_dots_of_a_box_are_the_patients_of_the_documents_median(example: Report) -> None:
    for row in example.results:
        cases = [case for case in example.cases if case.sequence == row.sequence and row.group in case.groups]
        dice = next(region for region in row.regions if region.region == MASS_REGION).measures["dice"]
        values = patient_dice(cases)
        assert len(values) == dice.n
        if dice.mean is not None:
            assert sum(values) / len(values) == pytest.approx(dice.mean)


@pytest.mark.parametrize(("p", "differs"), [(0.0, True), (0.049, True), (0.05, False), (None, False)])
def test_a_forest_plot_says_which_factors_differ(example: Report, p: float | None, differs: bool) -> None:
    vendor = next(row for row in example.subgroups if row.factor == "vendor")
    tests = tuple(replace(test, p_holm=p) for test in vendor.tests)
    (drawing,) = subgroup_plots(replace(example, subgroups=(replace(vendor, tests=tests),)))
    assert ("the DSC differs by vendor" in drawing.alt) is differs


def test_methods_state_the_options_that_were_used(example: Report) -> None:
    options = replace(
        example.provenance.options, seed=4711, bootstrap_draws=1234, surface_tolerance_mm=3.5, iou_threshold=0.2
    )
    report = replace(example, provenance=replace(example.provenance, options=options))
    text = " ".join(paragraph.text for paragraph in methods(report))
    for stated in (
        "seed 4711",
        "1,234 bootstrap",
        "within 3.5 mm",
        "at least 0.2",
        example.provenance.software_version,
    ):
        assert stated in text


def test_methods_leave_out_what_was_not_done(example: Report) -> None:
    bare = replace(example, comparison=None, regressions=(), subgroups=())
    titles = {paragraph.title for paragraph in methods(bare)}
    assert not titles & {"Comparison of two models", "Regression", "Subgroups"}


def test_the_first_sentence_counts_what_was_left_out(example: Report) -> None:
    counts = replace(example.counts, scored=1, scored_patients=1, masses=2, excluded=0)
    assert lead(replace(example, counts=counts, problems=())) == (
        "1 image of 1 patient with 2 masses was scored; none was left out."
    )


def test_the_checklist_has_its_44_items_in_order_and_claims_nothing_of_training(example: Report) -> None:
    answers = {row.item: row for rows in claim(example).values() for row in rows}
    assert list(answers) == list(range(1, 45))
    for item in (5, 15, 16, 18, 19, 20, 24, 25, 26, 27, 34, 44):
        assert (answers[item].status, answers[item].text) == ("not known to this software", "")
    assert answers[35].text.startswith(f"{example.counts.scored:,} of {example.counts.images:,}")


def test_a_group_without_images_answers_no_item_of_the_checklist(example: Report) -> None:
    groups = tuple(replace(group, images=0) if group.name == "internal" else group for group in example.groups)
    answers = {row.item: row for rows in claim(replace(example, groups=groups)).values() for row in rows}
    assert answers[32].status == "not known to this software"
    assert answers[33].status == "in part"
