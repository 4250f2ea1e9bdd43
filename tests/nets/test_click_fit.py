"""The simulated reader clicks on what is wrong, and a network learns from it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.domain.errors import BadWeightsError, NotEnoughLabelsError
from lib.domain.records import LabelledImage
from lib.imaging.volume import Volume, write_volume
from lib.nets.click_fit import ClickTrainee, fit_clicks, read_click_cases, widened
from lib.nets.click_mistakes import spoiled
from lib.nets.clicks import CLICK_PLAN
from lib.nets.networks import LoadedWeights, Plan, build_network, network_with
from lib.nets.trainee import FitSettings
from tests.nets.conftest import SHAPE, SPACING_MM, tiny_label

PLAN = replace(CLICK_PLAN, patch=(32, 32, 16), window=(32, 32, 16), channels=(8, 16, 32))
ONE_IMAGE = Plan(code="NP", patch=(32, 32, 16), window=(64, 64, 32), channels=(8, 16, 32))
MASS = 2


def test_every_mistake_changes_the_truth_and_the_same_seed_the_same_way() -> None:
    truth = tiny_label(1)
    seen = set()
    for seed in range(40):
        label = spoiled(truth, SPACING_MM, np.random.default_rng(seed))
        np.testing.assert_array_equal(label, spoiled(truth, SPACING_MM, np.random.default_rng(seed)))
        assert label.dtype == np.uint8
        assert (label != truth).any(), seed
        lost, gained = ((one == MASS) & (other != MASS) for one, other in ((truth, label), (label, truth)))
        seen.add((bool(lost.any()), bool(gained.any())))
    assert seen == {(True, False), (False, True), (True, True), (False, False)}


def test_a_label_without_structures_can_be_spoiled() -> None:
    empty = np.zeros(SHAPE, np.uint8)
    for seed in range(20):
        spoiled(empty, SPACING_MM, np.random.default_rng(seed))


def test_a_click_in_training_says_what_is_true(make_cases: Callable[..., list[LabelledImage]], tmp_path: Path) -> None:
    cases = make_cases(2)
    empty = Volume(data=np.zeros(SHAPE, np.uint8), affine=np.diag([*SPACING_MM, 1.0]))
    write_volume(empty, tmp_path / "proposals" / f"{cases[0].image_id}.nii.gz")
    ready = read_click_cases(cases, tmp_path / "proposals", PLAN)
    assert [case.proposal is not None for case in ready] == [True, False]
    run = ClickTrainee(PLAN, FitSettings(epochs=1), build_network(PLAN), ready)
    agreed = []
    for _ in range(20):
        scene = run._scene()
        (click,) = scene.clicks
        at = tuple(min(max(round(place), 0), n - 1) for place, n in zip(click.at, scene.truth.shape, strict=True))
        actual = int(scene.truth[at])
        agreed.append((actual == 1 + PLAN.structures.index(click.structure)) == click.inside)
    assert np.mean(agreed) > 0.8  # a hand is not steady: some clicks beside a border miss


def test_a_run_learns_and_its_steps_are_counted(make_cases: Callable[..., list[LabelledImage]]) -> None:
    ready = read_click_cases(make_cases(2), None, PLAN)
    losses = []
    result = fit_clicks(
        ready,
        PLAN,
        FitSettings(epochs=6, steps_per_epoch=5, batch_size=1),
        on_progress=lambda *told: losses.append(told[2]),
    )
    assert result.steps == 30
    assert np.mean(losses[-2:]) < losses[0]


def test_a_wider_network_answers_as_the_one_it_comes_from() -> None:
    torch.manual_seed(0)
    before = LoadedWeights(plan=ONE_IMAGE, state=build_network(ONE_IMAGE).state_dict())
    after = LoadedWeights(plan=PLAN, state=widened(before, PLAN))
    shown = torch.randn(1, PLAN.inputs, 32, 32, 16)
    torch.testing.assert_close(network_with(after)(shown), network_with(before)(shown[:, :1]))
    assert widened(after, PLAN).keys() == before.state.keys()


def test_a_network_of_other_layers_is_no_start() -> None:
    plan = replace(ONE_IMAGE, channels=(8, 16, 16))
    with pytest.raises(BadWeightsError, match="cannot start from a network of"):
        widened(LoadedWeights(plan=plan, state=build_network(plan).state_dict()), PLAN)


def test_labels_that_are_not_complete_teach_no_clicks(make_cases: Callable[..., list[LabelledImage]]) -> None:
    with pytest.raises(NotEnoughLabelsError, match="drawn completely"):
        read_click_cases(make_cases(1, drawn=frozenset({"mass"})), None, PLAN)
