"""The gallery shows the worst images, says what went wrong, and shows it where it is."""

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib.domain.criteria import CRITERIA
from lib.evaluation.cohort import evaluate_cohort
from lib.evaluation.page.gallery import MOST, WORST_WITH_MASS, gallery, what_went_wrong, worst_cases, worst_place
from lib.evaluation.page.render import render_page
from lib.evaluation.report import CaseResult, Options, PredictedMass
from lib.imaging.overlay import comparison_picture
from lib.imaging.volume import Volume
from tests.evaluation.page.conftest import text_of, tree_of

Case = Callable[..., CaseResult]


def test_the_lowest_dsc_comes_first_and_the_larger_mass_before_the_smaller(case: Case) -> None:
    some = [case(number, dice=dice) for number, dice in enumerate((0.7, 0.0, 0.4, 0.0, 0.9))]
    larger = replace(some[3].regions["mass"], reference_ml=50.0)
    some[3] = replace(some[3], regions={"mass": larger})
    chosen = worst_cases(some, ["CP"])
    assert [one.patient for one in chosen] == [3, 1, 2]
    assert len(chosen) == WORST_WITH_MASS


def test_a_perfect_image_and_an_empty_one_are_no_failures(case: Case) -> None:
    assert worst_cases([case(1, dice=1.0), case(2, found=(), dice=None)], ["CP"]) == []


def test_a_proposal_where_there_is_no_mass_is_a_failure(case: Case) -> None:
    only = case(1, found=(), wrong=(0.5,), dice=0.0)
    only = replace(only, regions={"mass": replace(only.regions["mass"], predicted_ml=2.0)})
    assert worst_cases([only], ["CP"]) == [only]
    assert what_went_wrong(only) == "The reference holds no mass; 1 proposed mass with 2.0 ml."


def test_no_more_than_the_most_are_shown_and_each_sequence_has_its_worst(case: Case) -> None:
    codes = [f"S{number}" for number in range(MOST)]
    some = [case(number, sequence=code, dice=number / 10) for code in codes for number in range(4)]
    chosen = worst_cases(some, codes)
    assert [one.sequence for one in chosen] == codes
    assert {one.patient for one in chosen} == {0}


@pytest.mark.parametrize(
    ("found", "wrong", "volumes", "words"),
    [
        ((None,), (), (5, 0), "The mass of 25 mm is missed: nothing was proposed."),
        ((None,), (0.5,), (5, 1), "The mass of 25 mm is missed: what was proposed lies elsewhere."),
        ((None, None), (), (5, 0), "All 2 masses, the largest of 25 mm, are missed: nothing was proposed."),
        ((0.9, None), (), (5, 4), "1 of 2 masses are missed, the largest of 25 mm. Found; the outlines differ"),
        ((0.9,), (), (5, 2), "Found, but less than half of the volume is outlined: 2.0 ml proposed for 5.0 ml."),
        ((0.9,), (), (5, 11), "Found, but more than twice the volume is outlined: 11.0 ml proposed for 5.0 ml."),
        ((0.9,), (0.5, 0.4), (5, 5), "2 proposed masses with 2.0 ml find nothing."),
    ],
)
def test_what_went_wrong_is_said(
    case: Case, found: tuple[float | None, ...], wrong: tuple[float, ...], volumes: tuple[float, float], words: str
) -> None:
    one = case(1, found=found, wrong=wrong)
    reference, predicted = volumes
    score = replace(one.regions["mass"], reference_ml=float(reference), predicted_ml=float(predicted))
    assert words in what_went_wrong(replace(one, regions={"mass": score}))


def test_an_absent_prediction_is_not_called_a_miss_of_the_model(case: Case) -> None:
    one = replace(case(1, found=(None,)), prediction="counted as empty")
    assert what_went_wrong(one) == "There is no prediction, which counts as one of nothing."


def test_the_place_lies_in_the_largest_piece_of_disagreement() -> None:
    reference = np.zeros((30, 30, 10), bool)
    prediction = reference.copy()
    reference[5:9, 5:9, 2:4] = True
    prediction[20:26, 18:24, 6] = True
    prediction[21:25, 19:23, 7] = True
    assert worst_place(reference, prediction) == (22, 20, 6)


def test_without_disagreement_the_place_is_the_middle() -> None:
    same = np.ones((8, 6, 4), bool)
    assert worst_place(same, same) == (4, 3, 2)


def test_reference_is_yellow_prediction_cyan_and_the_patients_right_on_the_left() -> None:
    data = np.zeros((64, 64, 8), np.float32)
    data[::9] = 50
    reference, prediction = np.zeros(data.shape, bool), np.zeros(data.shape, bool)
    reference[50:58, 28:36, 3:5] = True  # a high first index is far to the right
    prediction[6:14, 28:36, 3:5] = True
    image = Volume(data=data, affine=np.diag([3.0, 3.0, 3.0, 1.0]))
    picture = Image.open(io.BytesIO(comparison_picture(image, reference, prediction, (54, 32, 4)))).convert("RGB")
    assert picture.width == 3 * picture.height
    red, green, blue = np.asarray(picture, float).transpose(2, 0, 1)[:, :, : picture.height]
    yellow = np.argwhere((red > 150) & (green > 120) & (blue < 100))[:, 1].mean()
    cyan = np.argwhere((red < 100) & (green > 120) & (blue > 150))[:, 1].mean()
    assert yellow < picture.height / 4
    assert cyan > 3 * picture.height / 4


def test_pictures_are_made_from_the_cohorts_files(predicted: Callable[..., tuple[Path, Path]]) -> None:
    cohort, predictions = predicted(["P1", "P2"], ["CP"], shift=3)
    made = evaluate_cohort(cohort, predictions, Options(bootstrap_draws=100))
    (cohort / "P2_CP.nii.gz").unlink()
    first, second = sorted(gallery(made.report, made.files), key=lambda one: one.image_id)
    picture = Image.open(io.BytesIO(base64.b64decode(first.picture.partition(",")[2])))
    assert picture.format == "WEBP"
    assert second.picture == ""
    assert second.absent.startswith("No picture: the image file does not exist")


def test_each_picture_on_the_page_has_a_text(predicted: Callable[..., tuple[Path, Path]]) -> None:
    cohort, predictions = predicted(["P1"], ["CP"], shift=3)
    made = evaluate_cohort(cohort, predictions, Options(bootstrap_draws=100))
    tree = tree_of(render_page(made.report, made.files))
    (picture,) = tree.iter("img")
    assert picture.get("src", "").startswith("data:image/webp;base64,")
    assert what_went_wrong(made.report.cases[0]) in picture.get("alt", "")
    assert "P1_CP" in text_of(next(tree.iter("article")))


def test_false_positives_are_those_that_find_nothing_by_any_overlap(case: Case) -> None:
    near = PredictedMass(volume_ml=1.0, score=1.0, finds={name: name == "overlap" for name in CRITERIA})
    assert "nothing" not in what_went_wrong(replace(case(1), predicted=(near,)))
