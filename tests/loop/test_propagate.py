"""A reader's label on one image becomes a proposal on another, or a reason why not."""

import numpy as np
import pytest

from lib.domain.errors import GeometryError, RegistrationError
from lib.domain.structures import CYST, KIDNEY, MASS
from lib.imaging.metrics import dice
from lib.imaging.registration import Alignment
from lib.imaging.shapes import VALUES, label_of, signed_distance_mm
from lib.imaging.volume import Volume
from lib.loop import propagate as module
from lib.loop.propagate import Propagation, fuse, propagate, regions_of

AFFINE = np.array([[3, 0, 0, -90], [0, 3, 0, -60], [0, 0, 4, -56], [0, 0, 0, 1.0]])
SHAPE = (61, 41, 29)
MIDDLES = {"left": np.array([-45.0, 0, 0]), "right": np.array([45.0, 0, 0])}
STILL = {"left": (0, 0, 0), "right": (0, 0, 0)}
APART = {"left": (1.0, 2.0, -7.0), "right": (-2.0, -1.0, 8.0)}


def study(moved: dict[str, tuple[float, ...]], signal: tuple[float, ...], seed: int = 0) -> tuple[Volume, Volume]:
    """Two kidneys, each with a bright pole and a mass on the right one, moved each by itself: image and label."""
    points = np.indices(SHAPE).reshape(3, -1).T @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    data = 40.0 * ((points[:, 0] / 85) ** 2 + (points[:, 1] / 55) ** 2 < 1)
    label = np.zeros(len(points), np.uint8)
    for side, middle in MIDDLES.items():
        x, y, z = (points - middle - moved[side]).T
        kidney = ((x - (z / 14) ** 2) / 18) ** 2 + (y / 15) ** 2 + (z / 34) ** 2 < 1
        data = np.where(kidney, np.where(z > 12, signal[1], signal[0]), data)
        label[kidney] = KIDNEY
        if side == "right":
            mass = (x - 16) ** 2 + (y + 4) ** 2 + (z + 6) ** 2 < 12**2
            data, label[mass] = np.where(mass, signal[2], data), MASS
    noise = np.random.default_rng(seed).normal(0, 4, SHAPE)
    image = (data.reshape(SHAPE) + noise).astype(np.float32)
    return Volume(data=image, affine=AFFINE), Volume(data=label.reshape(SHAPE), affine=AFFINE)


SOURCE, LABEL = study(STILL, (100, 170, 240))


@pytest.fixture
def aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every region is found where it was, at once."""
    still = Alignment(matrix=np.eye(4), information=0.8, inverse_error_mm=0.1, shift_mm=(0.0, 0.0, 0.0))
    monkeypatch.setattr(module, "align", lambda *_, **__: still)


def scores(result: Propagation, truth: Volume) -> dict[int, float]:
    assert result.label is not None, result.reason
    return {value: dice(result.label.data == value, truth.data == value) or 0.0 for value in (KIDNEY, MASS)}


def test_each_kidney_is_followed_by_itself() -> None:
    target, truth = study(APART, (180, 60, 20), seed=1)
    result = propagate(LABEL, SOURCE, target)
    before = dice(LABEL.data == MASS, truth.data == MASS)
    assert scores(result, truth)[MASS] > max(0.85, before or 0)
    assert scores(result, truth)[KIDNEY] > 0.85
    assert sorted(round(shift[2]) for shift in result.shifts_mm) == pytest.approx([-7, 8], abs=1.5)
    assert "expected Dice of the masses" in result.reason


def test_an_empty_label_is_not_propagated() -> None:
    empty = Volume(data=np.zeros(SHAPE, np.uint8), affine=AFFINE)
    result = propagate(empty, SOURCE, SOURCE)
    assert result.label is None
    assert "the label is empty" in result.reason


def test_another_examination_is_not_propagated() -> None:
    far = AFFINE.copy()
    far[:3, 3] += 400
    result = propagate(LABEL, SOURCE, Volume(data=SOURCE.data, affine=far))
    assert result.label is None
    assert "nothing of the label lies in the target's field of view" in result.reason


def test_an_image_without_the_kidneys_is_not_propagated() -> None:
    noise = Volume(data=np.random.default_rng(2).normal(90, 9, SHAPE).astype(np.float32), affine=AFFINE)
    result = propagate(LABEL, SOURCE, noise)
    assert result.label is None
    assert result.reason.startswith("not propagated: ")


def test_a_region_that_cannot_be_aligned_stops_the_whole_label(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Alignment:
        msg = "no optimum was found"
        raise RegistrationError(msg)

    monkeypatch.setattr(module, "align", fail)
    assert propagate(LABEL, SOURCE, SOURCE).reason == "not propagated: no optimum was found"


@pytest.mark.usefixtures("aligned")
def test_a_kidney_outside_the_field_of_view_is_left_out_and_said() -> None:
    target = Volume(data=SOURCE.data[33:], affine=AFFINE @ _offset(33))
    result = propagate(LABEL, SOURCE, target)
    assert scores(result, Volume(data=LABEL.data[33:], affine=target.affine))[MASS] > 0.95
    assert "1 of the label's regions not in the field of view" in result.reason


@pytest.mark.usefixtures("aligned")
def test_a_mass_that_only_the_network_sees_is_said_and_not_taken_over() -> None:
    proposal = LABEL.data.copy()
    proposal[10:14, 18:22, 2:6] = MASS
    result = propagate(LABEL, SOURCE, SOURCE, proposal=Volume(data=proposal, affine=AFFINE))
    assert scores(result, LABEL)[MASS] > 0.98
    assert result.extra_masses == 1
    assert "the network sees 1 more mass, not taken over" in result.reason


@pytest.mark.usefixtures("aligned")
def test_structures_that_were_not_drawn_are_the_networks() -> None:
    drawn = Volume(data=np.where(LABEL.data == MASS, LABEL.data, 0), affine=AFFINE)
    result = propagate(drawn, SOURCE, SOURCE, drawn=["mass"], proposal=Volume(data=LABEL.data, affine=AFFINE))
    assert scores(result, LABEL)[KIDNEY] > 0.98


@pytest.mark.usefixtures("aligned")
def test_the_networks_agreement_is_told() -> None:
    agreeing = propagate(LABEL, SOURCE, SOURCE, proposal=LABEL)
    silent = propagate(LABEL, SOURCE, SOURCE, proposal=Volume(data=np.zeros_like(LABEL.data), affine=AFFINE))
    assert agreeing.evidence is not None
    assert silent.evidence is not None
    assert agreeing.evidence.agreement == pytest.approx(1.0)
    assert silent.evidence.agreement == 0
    assert "the network agrees to 1.00" in agreeing.reason


def test_a_proposal_on_another_grid_is_refused() -> None:
    with pytest.raises(GeometryError):
        propagate(LABEL, SOURCE, SOURCE, proposal=Volume(data=LABEL.data[1:], affine=AFFINE))


def test_a_label_on_another_grid_is_refused() -> None:
    with pytest.raises(GeometryError):
        propagate(Volume(data=LABEL.data[1:], affine=AFFINE), SOURCE, SOURCE)


def test_a_small_piece_moves_with_the_nearest_kidney() -> None:
    data = LABEL.data.copy()
    data[4, 20, 14] = CYST  # left of the left kidney
    left, right = sorted(
        regions_of(Volume(data=data, affine=AFFINE)), key=lambda region: np.argwhere(region)[:, 0].mean()
    )
    assert left[4, 20, 14]
    assert not right[4, 20, 14]
    assert (left | right).sum() == (data > 0).sum()


def test_a_mass_that_the_network_takes_for_kidney_stays_as_it_was_carried() -> None:
    ours = np.stack([signed_distance_mm(LABEL.data == value, (3.0, 3.0, 4.0)) for value in VALUES])
    kidneys = Volume(data=np.where(LABEL.data == 0, 0, KIDNEY).astype(np.uint8), affine=AFFINE)
    assert np.array_equal(label_of(fuse(ours, kidneys)) == MASS, LABEL.data == MASS)


def test_the_surface_of_a_mass_that_both_see_moves_a_quarter_of_the_way() -> None:
    ours = np.stack([signed_distance_mm(LABEL.data == value, (3.0, 3.0, 4.0)) for value in VALUES])
    theirs = np.where(ours[VALUES.index(MASS)] > -2, MASS, LABEL.data).astype(np.uint8)
    fused = fuse(ours, Volume(data=theirs, affine=AFFINE))[VALUES.index(MASS)]
    there = signed_distance_mm(theirs == MASS, (3.0, 3.0, 4.0))
    assert (there > ours[VALUES.index(MASS)]).any()
    np.testing.assert_allclose(fused, 0.75 * ours[VALUES.index(MASS)] + 0.25 * there, atol=1e-5)


def test_a_mass_that_the_network_sees_otherwise_stays_as_it_was_carried() -> None:
    ours = np.stack([signed_distance_mm(LABEL.data == value, (3.0, 3.0, 4.0)) for value in VALUES])
    much_larger = np.where(signed_distance_mm(LABEL.data == MASS, (3.0, 3.0, 4.0)) > -10, MASS, LABEL.data)
    found = label_of(fuse(ours, Volume(data=much_larger.astype(np.uint8), affine=AFFINE), share=0.5))
    assert np.array_equal(found == MASS, LABEL.data == MASS)


def _offset(i: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 3] = i
    return matrix
