from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lib.domain.errors import BadWeightsError
from lib.nets.find import FINDER_PLAN, Finder, load_finder, organ_boxes
from lib.nets.networks import LoadedWeights, Plan, build_network, save_weights

SPACING_MM = (4.5, 4.5, 6.0)


def two_kidneys() -> np.ndarray:
    organs = np.zeros((60, 40, 40), bool)
    organs[8:20, 20:30, 10:28] = True
    organs[40:50, 20:30, 12:26] = True
    return organs


def test_each_kidney_gets_a_box_with_a_margin_the_larger_first() -> None:
    first, second = organ_boxes(two_kidneys(), SPACING_MM)
    assert first == (slice(3, 25), slice(15, 35), slice(6, 32))
    assert (second[0].start, second[0].stop) == (35, 55)


def test_what_is_smaller_than_a_kidney_gets_no_box() -> None:
    organs = np.zeros((40, 40, 40), bool)
    organs[10:12, 10:12, 10:12] = True
    assert organ_boxes(organs, SPACING_MM) == []
    assert organ_boxes(np.zeros((4, 4, 4), bool), SPACING_MM) == []


def test_a_margin_ends_at_the_image() -> None:
    organs = np.zeros((20, 20, 20), bool)
    organs[0:12, 8:20, 0:12] = True
    (box,) = organ_boxes(organs, SPACING_MM)
    assert box == (slice(0, 17), slice(3, 20), slice(0, 16))


def bright(image: torch.Tensor) -> torch.Tensor:
    """Stands in for a network: what is brighter than the body's mean is kidney."""
    zero = torch.zeros_like(image)
    return torch.cat([zero, 40 * (image - 1), zero - 40, zero - 40], 1)


@pytest.mark.parametrize("spacing_mm", [(1.5, 1.5, 3.0), (2.0, 3.0, 4.0)])
def test_boxes_are_told_in_voxels_of_the_image_and_hold_the_kidney(
    spacing_mm: tuple[float, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Finder(LoadedWeights(plan=FINDER_PLAN, state=build_network(FINDER_PLAN).state_dict()), "cpu")
    monkeypatch.setattr(find, "_network", bright)
    shape = tuple(round(mm / edge) for mm, edge in zip((240, 180, 150), spacing_mm, strict=True))
    image = torch.zeros(shape)
    kidney = tuple(slice(round(0.6 * n), round(0.85 * n)) for n in shape)
    image[kidney] = 3.0
    (box,) = find(image, spacing_mm)
    for span, found, edge, n in zip(kidney, box, spacing_mm, shape, strict=True):
        assert found.start <= span.start - 12 / edge
        assert found.stop >= min(n, span.stop + 12 / edge)
        assert found.stop - found.start < span.stop - span.start + 66 / edge


def test_an_installation_without_a_finder_searches_everywhere() -> None:
    assert load_finder(None) is None


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "finder.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(BadWeightsError):
        load_finder(path)


def test_a_written_finder_finds_the_same_again(tmp_path: Path) -> None:
    plan = Plan(code="all", spacing_mm=SPACING_MM, window=(16, 16, 16), stem=(1, 1, 1), channels=(4, 8, 8))
    torch.manual_seed(0)
    state = {name: value.half().float() for name, value in build_network(plan).state_dict().items()}
    save_weights(tmp_path / "finder.safetensors", state, plan, {})
    image = torch.randn(60, 50, 30, generator=torch.Generator().manual_seed(1))
    loaded = load_finder(tmp_path / "finder.safetensors", "cpu")
    assert loaded is not None
    assert loaded(image, (1.5, 1.5, 3.0)) == Finder(LoadedWeights(plan=plan, state=state), "cpu")(
        image, (1.5, 1.5, 3.0)
    )
