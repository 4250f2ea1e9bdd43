"""Images as a scanner stores them."""

from dataclasses import replace

import numpy as np
import pytest

from lib.domain.scanners import VENDORS, vendor_of
from lib.domain.sequences import SEQUENCES
from lib.phantom.acquisition import Plan, acquire, plan_image
from lib.phantom.anatomy import draw_anatomy
from lib.phantom.contrast import draw_relaxation
from lib.phantom.raster import Layers, compose, fine_grid, label_table, rasterise
from lib.phantom.scanners import CENTRES, SCANNERS
from lib.phantom.tissues import CODES

COARSE_MM = (4.0, 4.0, 6.0)
ANATOMY = draw_anatomy(np.random.default_rng([0, 0, 0]))
RELAXATION = draw_relaxation(np.random.default_rng(0), 3.0)


@pytest.fixture(scope="module")
def layers() -> Layers:
    return rasterise(ANATOMY, fine_grid(ANATOMY, "axial", COARSE_MM))


def plan(code: str, **changes: object) -> Plan:
    """An axial plan on the raster's own grid."""
    grid = fine_grid(ANATOMY, "axial", COARSE_MM)
    affine = np.diag([*COARSE_MM, 1.0])
    affine[:3, 3] = [axis[0] for axis in grid.axes]
    drawn = plan_image(np.random.default_rng(1), sequence=code, scanner=SCANNERS["Skyra"], anatomy=ANATOMY)
    fixed = replace(drawn, view="axial", shape=grid.shape, affine=affine, breath_mm=(0.0, 0.0, 0.0), fat_left=0.05)
    return replace(fixed, fat_failure=0.0, shading=0.0, ghost=0.0, slice_mm=COARSE_MM[2], **changes)


def mean_of(layers: Layers, image: np.ndarray, tissue: str) -> float:
    return float(image[compose(layers, (0, 0, 0)) == CODES[tissue]].mean())


def test_suppressed_fat_is_darker_than_muscle_and_bright_fat_is_not(layers: Layers) -> None:
    ratio = {}
    for fat in ("suppressed", "bright"):
        image, _ = acquire(layers, plan("T1WI", fat=fat), sequence="T1WI", relaxation=RELAXATION)
        ratio[fat] = mean_of(layers, image.data, "skin_fat") / mean_of(layers, image.data, "muscle")
    assert ratio["suppressed"] < 0.5
    assert ratio["bright"] > 1.2


def test_air_holds_the_noise_that_the_plan_asks_for(layers: Layers) -> None:
    made = plan("NP", snr=20.0, level=1000.0, acquired=(1.0, 1.0), taper=0.0)
    image, _ = acquire(layers, made, sequence="NP", relaxation=RELAXATION)
    corner = image.data[:3, :3].astype(float)
    assert corner.mean() == pytest.approx(1000 / 20 * np.sqrt(np.pi / 2), rel=0.15)  # Rayleigh: Rician without signal


def test_the_label_is_the_tissue_on_the_images_grid(layers: Layers) -> None:
    image, label = acquire(layers, plan("CP"), sequence="CP", relaxation=RELAXATION)
    assert label.shape == image.shape
    assert np.array_equal(label.affine, image.affine)
    assert np.array_equal(label.data, label_table()[compose(layers, (0, 0, 0))])


def test_level_is_the_stored_value_of_unenhanced_cortex(layers: Layers) -> None:
    image, _ = acquire(layers, plan("T1WI", level=1000.0), sequence="T1WI", relaxation=RELAXATION)
    assert mean_of(layers, image.data, "cortex") == pytest.approx(1000, rel=0.2)


@pytest.mark.parametrize("code", SEQUENCES)
@pytest.mark.parametrize("model", SCANNERS)
def test_plans_cover_both_kidneys_at_clinical_voxels(model: str, code: str) -> None:
    made = plan_image(np.random.default_rng(7), sequence=code, scanner=SCANNERS[model], anatomy=ANATOMY)
    voxel = np.linalg.norm(made.affine[:3, :3], axis=0)
    assert np.all(voxel[:2] > 0.9)
    assert np.all(voxel[:2] < 2.0)
    assert 2.5 < voxel[2] < 6.5
    for kidney in ANATOMY.kidneys:
        index = np.linalg.solve(made.affine, [*kidney.centre_ras, 1.0])[:3]
        assert np.all(index > 0)
        assert np.all(index < made.shape)


def test_t1_is_taken_as_a_volume_or_slice_by_slice_and_every_other_sequence_one_way() -> None:
    def ways(code: str) -> set[tuple[str, bool]]:
        drawn = (np.random.default_rng(seed) for seed in range(20))
        plans = [plan_image(rng, sequence=code, scanner=SCANNERS["Aera"], anatomy=ANATOMY) for rng in drawn]
        return {(made.slices, made.tr_ms > 50) for made in plans}

    volume, slices = ("3D", False), ("2D", True)
    assert {code: ways(code) for code in SEQUENCES} == {
        "T1WI": {volume, slices},
        "T2WI": {slices},
        "CP": {volume},
        "NP": {volume},
        "DP": {volume},
    }


def test_scanners_are_of_known_vendors_in_their_headers_too() -> None:
    assert {row.vendor for row in SCANNERS.values()} == set(VENDORS)
    assert all(vendor_of(row.manufacturer) == row.vendor for row in SCANNERS.values())


def test_shares_of_centres_and_scanners_add_up() -> None:
    assert sum(row.share for row in CENTRES.values()) == pytest.approx(1)
    assert all(sum(row.scanners.values()) == pytest.approx(1) for row in CENTRES.values())
