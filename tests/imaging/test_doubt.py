"""What the probabilities alone say for and against a proposal."""

import numpy as np
import pytest

from lib.imaging.calibration import Scaling
from lib.imaging.doubt import MassVoxels, weigh

AS_STATED = Scaling()


def voxels(probability: list[float], number: list[int], voxel_ml: float = 0.01) -> MassVoxels:
    return MassVoxels(probability=np.array(probability), number=np.array(number), voxel_ml=voxel_ml)


def test_a_mass_that_is_certain_is_expected_to_overlap_completely() -> None:
    evidence = weigh(voxels([0.9999] * 8, [1] * 8), AS_STATED)
    assert (evidence.masses, evidence.mass_ml) == (1, pytest.approx(0.08))
    assert evidence.overlap == pytest.approx(1.0, abs=1e-3)
    assert evidence.doubt_ml == 0


def test_the_expected_overlap_is_the_mean_dice_of_what_the_probabilities_would_draw() -> None:
    rng = np.random.default_rng(0)
    stated = np.concatenate([rng.uniform(0.5, 0.99, 4000), rng.uniform(0.01, 0.5, 4000)])
    proposed = np.repeat([1, 0], 4000)
    drawn = rng.random(8000) < stated
    dice = 2 * drawn[:4000].sum() / (4000 + drawn.sum())
    assert weigh(voxels(stated, proposed), AS_STATED).overlap == pytest.approx(dice, abs=0.02)


def test_what_may_be_mass_beside_the_proposal_lowers_the_overlap_and_counts_as_doubt() -> None:
    alone = weigh(voxels([0.9, 0.9], [1, 1]), AS_STATED)
    beside = weigh(voxels([0.9, 0.9, 0.5, 0.5], [1, 1, 0, 0]), AS_STATED)
    assert beside.overlap < alone.overlap
    assert beside.confidence == alone.confidence
    assert beside.doubt_ml == pytest.approx(0.02)  # one bit in each of two voxels


def test_without_a_mass_there_is_still_the_surest_voxel() -> None:
    evidence = weigh(voxels([0.1, 0.4], [0, 0]), AS_STATED, kidneys=1)
    assert (evidence.masses, evidence.overlap, evidence.kidneys) == (0, 0.0, 1)
    assert evidence.surest == pytest.approx(0.4)


def test_an_image_where_nothing_may_be_mass_has_no_doubt() -> None:
    evidence = weigh(voxels([], []), AS_STATED)
    assert (evidence.masses, evidence.surest, evidence.doubt_ml) == (0, 0.0, 0.0)
