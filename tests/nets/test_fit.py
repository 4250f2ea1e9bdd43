from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from lib.domain.errors import BadImageError, BadRequestError, BadWeightsError, GeometryError, NotEnoughLabelsError
from lib.domain.records import EpochReport, LabelledImage
from lib.imaging.metrics import dice
from lib.imaging.volume import read_label, read_volume
from lib.nets.fit import fit, spread
from lib.nets.networks import LoadedWeights, Plan
from lib.nets.predict import Predictor
from lib.nets.trainee import FitSettings, schedule

Make = Callable[..., list[LabelledImage]]
BRIEF = FitSettings(epochs=2, steps_per_epoch=2, device="cpu")


def test_a_network_learns_four_images_in_seconds(make_cases: Make, tiny_plan: Plan) -> None:
    settings = FitSettings(epochs=6, steps_per_epoch=20, device="cpu", learning_rate=1e-2)
    result = fit(make_cases(4), make_cases(1, first=20), tiny_plan, settings)
    assert result.best_dice["kidney"] > 0.8
    assert result.best_dice["mass"] > 0.7
    unseen = make_cases(1, first=30)[0]
    predictor = Predictor(LoadedWeights(plan=result.plan, state=result.state), "cpu")
    label = predictor(read_volume(unseen.image)).label.data
    score = dice(label == 2, read_label(unseen.label).data == 2)
    assert score is not None
    assert score > 0.7


def test_the_same_seed_gives_the_same_weights_bit_for_bit(make_cases: Make, tiny_plan: Plan) -> None:
    cases = make_cases(2)
    first, again = (fit(cases, [], tiny_plan, BRIEF) for _ in range(2))
    other = fit(cases, [], tiny_plan, replace(BRIEF, seed=1))
    assert all(torch.equal(first.state[name], again.state[name]) for name in first.state)
    assert not all(torch.equal(first.state[name], other.state[name]) for name in first.state)


def test_training_leaves_the_global_random_state_and_threads_alone(make_cases: Make, tiny_plan: Plan) -> None:
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    fit(make_cases(1), [], tiny_plan, replace(BRIEF, threads=1))
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads


def test_every_epoch_is_reported_once(make_cases: Make, tiny_plan: Plan) -> None:
    seen: list[EpochReport] = []
    result = fit(make_cases(2), make_cases(1, first=9), tiny_plan, replace(BRIEF, epochs=3), on_epoch=seen.append)
    assert [report.epoch for report in seen] == [1, 2, 3]
    assert tuple(seen) == result.reports
    assert all(math.isfinite(report.loss) and report.epochs == 3 for report in seen)
    assert seen[-1].eta_s == 0
    assert set(seen[-1].dice) == set(tiny_plan.structures)


def test_a_run_stops_when_asked(make_cases: Make, tiny_plan: Plan) -> None:
    answers = iter([False, False, True])
    result = fit(make_cases(1), [], tiny_plan, replace(BRIEF, epochs=100), should_stop=lambda: next(answers))
    assert result.stopped
    assert len(result.reports) == 1 or not result.reports[-1].epoch > 2


def test_a_budget_of_minutes_is_kept(make_cases: Make, tiny_plan: Plan) -> None:
    settings = FitSettings(minutes=0.05, steps_per_epoch=2, device="cpu")
    result = fit(make_cases(2), make_cases(1, first=9), tiny_plan, settings)
    assert not result.stopped
    assert result.reports[-1].eta_s < 1.5
    assert result.best_dice


def test_structures_that_were_not_drawn_are_not_scored(make_cases: Make, tiny_plan: Plan) -> None:
    only_mass = frozenset({"mass"})
    result = fit(make_cases(2, only_mass), make_cases(1, only_mass, first=9), tiny_plan, BRIEF)
    assert set(result.best_dice) <= only_mass


def test_training_goes_on_from_given_weights(make_cases: Make, tiny_plan: Plan, tiny_weights: LoadedWeights) -> None:
    still = replace(BRIEF, epochs=1, steps_per_epoch=1, learning_rate=1e-12)
    result = fit(make_cases(1), [], tiny_plan, still, start_from=tiny_weights)
    assert all(torch.allclose(result.state[name], tiny_weights.state[name], atol=1e-6) for name in result.state)


def test_weights_of_another_network_are_no_start(
    make_cases: Make, tiny_plan: Plan, tiny_weights: LoadedWeights
) -> None:
    wider = replace(tiny_plan, channels=(16, 32, 64))
    with pytest.raises(BadWeightsError, match="channels"):
        fit(make_cases(1), [], wider, BRIEF, start_from=tiny_weights)


@pytest.mark.parametrize("drawn", [frozenset(), frozenset({"cyst"})])
def test_without_a_drawn_structure_there_is_nothing_to_learn(
    make_cases: Make, tiny_plan: Plan, drawn: frozenset[str]
) -> None:
    plan = replace(tiny_plan, structures=("kidney", "mass"))
    with pytest.raises(NotEnoughLabelsError, match="kidney or mass"):
        fit(make_cases(2, drawn), [], plan, BRIEF)


def test_no_cases_are_not_enough(tiny_plan: Plan) -> None:
    with pytest.raises(NotEnoughLabelsError):
        fit([], [], tiny_plan, BRIEF)


def test_a_label_without_any_mass_can_be_learned_from(make_cases: Make, tiny_plan: Plan) -> None:
    case = make_cases(1)[0]
    empty = nib.load(case.label)
    nib.save(nib.Nifti1Image(np.zeros(empty.shape, np.uint8), empty.affine), case.label)
    result = fit([case], [case], tiny_plan, BRIEF)
    assert all(math.isfinite(report.loss) for report in result.reports)


def test_an_unreadable_image_is_named_by_nothing_personal(make_cases: Make, tiny_plan: Plan) -> None:
    case = make_cases(1)[0]
    case.image.write_bytes(b"not an image")
    with pytest.raises(BadImageError) as caught:
        fit([case], [], tiny_plan, BRIEF)
    assert case.patient_id not in str(caught.value)
    assert str(case.image) not in str(caught.value)


def test_a_label_on_another_grid_is_refused(make_cases: Make, tiny_plan: Plan) -> None:
    case = make_cases(1)[0]
    label = nib.load(case.label)
    nib.save(nib.Nifti1Image(np.asarray(label.dataobj)[:-1], label.affine), case.label)
    with pytest.raises(GeometryError):
        fit([case], [], tiny_plan, BRIEF)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"minutes": -1.0}, {"batch_size": 0}])
def test_a_budget_that_is_not_positive_is_refused(make_cases: Make, tiny_plan: Plan, wrong: dict[str, int]) -> None:
    with pytest.raises(BadRequestError, match="positive"):
        fit(make_cases(1), [], tiny_plan, replace(BRIEF, **wrong))


def test_the_learning_rate_rises_then_falls() -> None:
    rates = [schedule(step / 100) for step in range(101)]
    peak = rates.index(max(rates))
    assert 0 < peak < 10
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < 0.02


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_learns_too(make_cases: Make, tiny_plan: Plan) -> None:
    settings = FitSettings(epochs=6, steps_per_epoch=20, device="cuda", learning_rate=1e-2)
    assert fit(make_cases(4), make_cases(1, first=20), tiny_plan, settings).best_dice["kidney"] > 0.8


def test_the_cases_to_choose_by_are_of_every_sequence(make_cases: Make) -> None:
    cases = [replace(case, scanner_model=code) for code in "ABCDE" for case in make_cases(5)]
    chosen = spread(cases, 8)
    assert len(chosen) == 8
    assert {case.scanner_model for case in chosen} == set("ABCDE")
    assert spread(cases[:3], 8) == cases[:3]
    assert spread([], 8) == []
