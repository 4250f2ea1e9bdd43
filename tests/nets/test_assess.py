"""What a network says of labelled images is kept beside the truth, and tells how far to trust it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.domain.errors import BadWeightsError
from lib.domain.records import LabelledImage
from lib.imaging.calibration import Scaling
from lib.imaging.metrics import dice
from lib.nets.assess import fit_scalings, take_sample
from lib.nets.cases import ReadyCase, read_cases
from lib.nets.fit import fit
from lib.nets.networks import LoadedWeights, Plan, load_weights, save_weights
from lib.nets.predict import SMALLEST_MASS_MM3, Predictor
from lib.nets.scalings import CALIBRATION, scalings_note, scalings_of
from lib.nets.trainee import FitSettings
from lib.trainers.assessment import assessment_notes
from tests.conftest import two_kidneys

Make = Callable[..., list[LabelledImage]]


class Bright:
    """Stands in for a network: the brighter, the more it is mass, and far too sure of it."""

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        low = torch.full_like(image, -9.0)
        return torch.cat([torch.zeros_like(image), low, 6 * (image - 1.0), low], 1)


@pytest.fixture
def case(make_cases: Make, tiny_plan: Plan) -> ReadyCase:
    return read_cases(make_cases(1), tiny_plan)[0]


def test_the_dice_of_a_sample_is_that_of_the_whole_image(case: ReadyCase, tiny_plan: Plan) -> None:
    sample = take_sample(case, Bright(), tiny_plan, SMALLEST_MASS_MM3)
    proposed = (6 * (case.image.float() - 1.0) > 0).numpy()
    assert sample.dice == pytest.approx(dice(proposed, case.label.numpy() == 2), abs=0.01)
    assert 0 < sample.dice < 1


def test_a_network_that_is_too_sure_is_restated_as_less_sure(case: ReadyCase, tiny_plan: Plan) -> None:
    sample = take_sample(case, Bright(), tiny_plan, SMALLEST_MASS_MM3)
    scalings = fit_scalings([sample] * 20)
    before, after = (sample.evidence(known) for known in ({}, scalings))
    assert after.confidence < before.confidence
    assert (after.masses, after.mass_ml) == (before.masses, before.mass_ml)


def test_a_structure_that_was_not_drawn_is_not_calibrated(case: ReadyCase, tiny_plan: Plan) -> None:
    only_kidney = replace(case, drawn=frozenset({"kidney"}))
    assert "mass" not in fit_scalings([take_sample(only_kidney, Bright(), tiny_plan, SMALLEST_MASS_MM3)])


def test_the_kidneys_that_were_found_are_remembered(case: ReadyCase, tiny_plan: Plan) -> None:
    box = (slice(0, 8), slice(0, 8), slice(0, 8))
    taken = [take_sample(case, Bright(), tiny_plan, SMALLEST_MASS_MM3, boxes) for boxes in (None, [], [box])]
    assert [sample.kidneys for sample in taken] == [None, 0, 1]


def test_a_fit_with_validation_cases_writes_its_calibration(make_cases: Make, tiny_plan: Plan) -> None:
    settings = FitSettings(epochs=1, steps_per_epoch=2, device="cpu")
    result = fit(make_cases(1), make_cases(2, first=9), tiny_plan, settings)
    assert len(result.judged) == 2
    assert scalings_of(assessment_notes(result, {})) == result.scalings
    assert assessment_notes(fit(make_cases(1), [], tiny_plan, settings), {}) == {}


def test_restating_changes_how_sure_a_proposal_is_and_not_the_label(tiny_weights: LoadedWeights) -> None:
    image, _ = two_kidneys()
    note = scalings_note({"kidney": Scaling(shift=-2.0), "mass": Scaling(shift=-2.0), "cyst": Scaling(shift=-2.0)})
    plain = Predictor(tiny_weights, "cpu")(image)
    restated = Predictor(replace(tiny_weights, notes={CALIBRATION: note}), "cpu")(image)
    assert np.array_equal(plain.label.data, restated.label.data)
    labelled = plain.label.data > 0
    assert labelled.any()
    assert (restated.certainty[labelled] < plain.certainty[labelled]).all()
    assert not restated.certainty[~labelled].any()
    assert all(restated.confidence[name] < value for name, value in plain.confidence.items())


def test_a_calibration_survives_the_weight_file(tmp_path, tiny_weights: LoadedWeights) -> None:
    scalings = {"mass": Scaling(slope=0.6, shift=-0.7)}
    path = tmp_path / "weights.safetensors"
    save_weights(path, tiny_weights.state, tiny_weights.plan, {CALIBRATION: scalings_note(scalings)})
    assert scalings_of(load_weights(path).notes) == scalings
    assert scalings_of({}) == {}


@pytest.mark.parametrize(
    "note", ["", "[1]", '{"mass": [1]}', '{"mass": [-1, 0]}', '{"liver": [1, 0]}', '{"mass": [1, NaN]}']
)
def test_a_damaged_calibration_is_refused(note: str) -> None:
    with pytest.raises(BadWeightsError, match="slope and a shift"):
        scalings_of({CALIBRATION: note})
