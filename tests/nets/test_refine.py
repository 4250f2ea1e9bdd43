"""A click means the same voxel in any orientation, and changes nothing far from it."""

import itertools
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from lib.domain.clicks import Click
from lib.domain.structures import KIDNEY, MASS
from lib.imaging.edits import REACH_MM
from lib.imaging.volume import Volume
from lib.nets.clicks import CLICK_PLAN, encode
from lib.nets.networks import LoadedWeights, build_network
from lib.nets.refine import ClickRefiner, agreeing
from tests.conftest import two_kidneys

PLAN = replace(CLICK_PLAN, spacing_mm=(3.0, 3.0, 6.0), window=(24, 24, 16), channels=(8, 16, 16))
FOR, AGAINST = (37, 22, 8), (11, 20, 8)


@pytest.fixture(scope="module")
def refiner() -> ClickRefiner:
    torch.manual_seed(1)
    return ClickRefiner(LoadedWeights(plan=PLAN, state=build_network(PLAN).state_dict()), "cpu")


def clicks(*more: Click) -> list[Click]:
    return [Click(structure="mass", inside=True, at=FOR), Click(structure="kidney", inside=False, at=AGAINST), *more]


def started() -> tuple[Volume, np.ndarray]:
    image, label = two_kidneys()
    return image, np.where(label.data == MASS, KIDNEY, label.data).astype(np.uint8)


def turned(array: np.ndarray, axes: tuple[int, ...], flips: tuple[bool, ...]) -> np.ndarray:
    array = array.transpose(axes)
    return np.ascontiguousarray(array[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)])


@pytest.mark.parametrize("oblique", [False, True])
def test_the_same_voxel_in_any_of_48_orientations_gives_the_same_label(refiner: ClickRefiner, oblique: bool) -> None:
    image, label = started()
    turn = nib.eulerangles.euler2mat(0.2, 0.1, 0.15) if oblique else np.eye(3)
    affine = nib.affines.from_matvec(turn @ image.affine[:3, :3], [3.0, -20.0, 7.0])
    ready = refiner.ready(Volume(data=image.data, affine=affine))
    expected = refiner(ready, label, clicks())
    assert (expected != label).any()
    index = np.moveaxis(np.indices(label.shape), 0, -1)
    for axes, flips in itertools.product(itertools.permutations(range(3)), itertools.product([False, True], repeat=3)):
        shape = np.array(label.shape)[list(axes)]
        back = np.zeros((4, 4))
        back[3, 3] = 1
        for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
            back[old, new], back[old, 3] = (-1, shape[new] - 1) if flip else (1, 0)
        there = [
            replace(click, at=tuple(np.rint((np.linalg.inv(back) @ [*click.at, 1])[:3]).tolist())) for click in clicks()
        ]
        np.testing.assert_array_equal(turned(index[..., 0], axes, flips)[tuple(map(int, there[0].at))], FOR[0])
        other = refiner.ready(Volume(data=turned(image.data, axes, flips), affine=affine @ back))
        found = refiner(other, turned(label, axes, flips), there)
        np.testing.assert_array_equal(found, turned(expected, axes, flips), err_msg=f"{axes} {flips}")


def test_clicks_hold_whatever_the_network_says(refiner: ClickRefiner) -> None:
    image, label = started()
    corners = [Click(structure="mass", inside=True, at=at) for at in ((0, 0, 0), (47, 39, 15))]
    found = refiner(refiner.ready(image), label, clicks(*corners))
    assert found[FOR] == found[0, 0, 0] == found[47, 39, 15] == MASS
    assert found[AGAINST] != KIDNEY


def test_nothing_changes_far_from_the_clicks(refiner: ClickRefiner) -> None:
    image, label = started()
    found = refiner(refiner.ready(image), label, clicks()[:1])
    changed = np.argwhere(found != label)
    assert len(changed)
    assert np.linalg.norm((changed - FOR) * image.spacing_mm, axis=1).max() <= REACH_MM


def test_without_clicks_the_label_stays(refiner: ClickRefiner) -> None:
    image, label = started()
    np.testing.assert_array_equal(refiner(refiner.ready(image), label, []), label)


def test_an_image_smaller_than_the_box_can_be_clicked(refiner: ClickRefiner) -> None:
    image, label = started()
    flat = Volume(data=image.data[30:42, 15:30, 8:9], affine=image.affine)
    found = refiner(refiner.ready(flat), label[30:42, 15:30, 8:9], [Click(structure="mass", inside=True, at=(7, 7, 0))])
    assert found[7, 7, 0] == MASS


def test_the_network_sees_each_click_in_its_own_map() -> None:
    image, label = torch.zeros(24, 24, 16), torch.zeros(24, 24, 16, dtype=torch.uint8)
    label[3, 4, 5] = 2
    shown = encode(image, label, [Click(structure="mass", inside=False, at=(10.0, 11.0, 6.0))], PLAN)
    assert len(shown) == PLAN.inputs
    assert shown[2, 3, 4, 5] == 1
    against_mass = 1 + 3 + 2 * 1 + 1
    assert np.unravel_index(int(shown[against_mass].argmax()), (24, 24, 16)) == (10, 11, 6)
    assert shown[4:].flatten(1).sum(1).nonzero().flatten().tolist() == [against_mass - 4]


def test_an_answer_is_made_to_agree_close_to_a_click() -> None:
    even = torch.full((4, 12, 12, 8), 0.25)
    even[2] += 0.01
    inside = Click(structure="cyst", inside=True, at=(5, 5, 4))
    against = Click(structure="mass", inside=False, at=(11, 11, 7))
    beyond = Click(structure="mass", inside=True, at=(-40, 5, 4))
    found = agreeing(even, [inside, against, beyond], PLAN.structures, PLAN.spacing_mm)
    assert found[:, 5, 5, 4].tolist() == [0, 0, 0, 1]
    assert found[2, 11, 11, 7] == 0
    torch.testing.assert_close(found.sum(0)[11, 11, 7], torch.tensor(1.0))
    torch.testing.assert_close(found[:, 0, 0, 0], even[:, 0, 0, 0])
