"""Voxels of a patient: what the description says, on any grid."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from lib.domain.structures import CYST, KIDNEY, LABEL_VALUES, MASS
from lib.phantom.anatomy import Anatomy, draw_anatomy
from lib.phantom.canvas import Codes
from lib.phantom.noise import Grid, smooth_noise
from lib.phantom.raster import Layers, compose, fine_grid, label_table, rasterise
from lib.phantom.tissues import CODES, TISSUES

COARSE_MM = (2.5, 2.5, 3.0)


@pytest.fixture(scope="module")
def patient() -> Anatomy:
    """The first patient with one mass, both kidneys normal and a cyst."""
    for number in range(200):
        drawn = draw_anatomy(np.random.default_rng([1, number, 0]))
        states = [kidney.state for kidney in drawn.kidneys]
        if len(drawn.masses) == 1 and drawn.cysts and states == ["normal", "normal"] and drawn.masses[0].size_mm > 15:
            return replace(drawn, body=replace(drawn.body, arms=False))
    raise LookupError


@pytest.fixture(scope="module")
def layers(patient: Anatomy) -> Layers:
    return rasterise(patient, fine_grid(patient, "axial", COARSE_MM))


@pytest.fixture(scope="module")
def tissue(layers: Layers) -> Codes:
    return compose(layers, (0, 0, 0))


def test_labels_are_rows_of_the_table() -> None:
    assert set(label_table().tolist()) <= LABEL_VALUES


def test_every_organ_is_there(tissue: Codes) -> None:
    found = {list(TISSUES)[code] for code in np.unique(tissue)}
    organs = {"air", "skin_fat", "fat", "muscle", "marrow", "disc", "csf", "artery", "vein", "liver", "spleen"}
    assert organs | {"cortex", "medulla", "urine", "lung", "bowel_wall"} <= found


@pytest.mark.parametrize(("kind", "value"), [("mass", MASS), ("cyst", CYST)])
def test_lesions_have_about_their_described_volume(patient: Anatomy, tissue: Codes, kind: str, value: int) -> None:
    radii = [lesion.radii_mm for lesion in patient.lesions if lesion.kind == kind]
    described = sum(4 / 3 * np.pi * np.prod(row) for row in radii)
    voxels = np.count_nonzero(label_table()[tissue] == value) * np.prod(COARSE_MM)
    assert 0.55 * described < voxels < 1.1 * described


def test_kidneys_have_the_volume_of_kidneys(patient: Anatomy, tissue: Codes) -> None:
    millilitres = np.count_nonzero(label_table()[tissue] == KIDNEY) * np.prod(COARSE_MM) / 1000
    assert 80 < millilitres / len(patient.kidneys) < 260


def test_other_organs_touch_the_kidneys_of_the_lean_alone(patient: Anatomy) -> None:
    touching = {}
    for visceral in (0.05, 1.0):
        drawn = replace(patient, body=replace(patient.body, visceral=visceral))
        tissue = compose(rasterise(drawn, fine_grid(drawn, "axial", COARSE_MM)), (0, 0, 0))
        around = binary_dilation(label_table()[tissue] == KIDNEY)
        names = ("liver", "spleen", "bowel_wall")
        touching[visceral] = {name: np.count_nonzero(around & (tissue == CODES[name])) for name in names}
    assert set(touching[1.0].values()) == {0}
    assert min(touching[0.05].values()) > 50


def test_a_breath_moves_the_kidneys_and_not_the_spine(layers: Layers) -> None:
    rest, moved = compose(layers, (0, 0, 0)), compose(layers, (0, 0, 3))
    is_kidney = label_table() == KIDNEY
    height = [np.argwhere(is_kidney[image])[:, 2].mean() for image in (rest, moved)]
    assert height[1] - height[0] == pytest.approx(3, abs=0.5)
    assert np.array_equal(rest == CODES["csf"], moved == CODES["csf"])


def test_noise_is_a_function_of_the_point_and_not_of_the_grid() -> None:
    axis = np.arange(-40, 40, 4, dtype=np.float32)
    whole = smooth_noise(Grid(x=axis, y=axis, z=axis), step_mm=12, seed=(1, 2))
    part = smooth_noise(Grid(x=axis[5:9], y=axis[2:], z=axis[::2]), step_mm=12, seed=(1, 2))
    np.testing.assert_allclose(whole[5:9, 2:, ::2], part, atol=1e-5)
    assert 0.6 < whole.std() < 1.5
