from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo  # sets TORCHINDUCTOR_CACHE_DIR once, else the first optimiser step would, inside a test
from numpy.typing import NDArray

from lib.domain.records import LabelledImage
from lib.domain.structures import CYST, KIDNEY, MASS, STRUCTURE_NAMES
from lib.imaging.volume import Volume, write_volume
from lib.nets.networks import LoadedWeights, Plan, build_network

SHAPE = (40, 36, 20)
SPACING_MM = (1.5, 1.5, 3.0)


def tiny_label(seed: int, shape: tuple[int, int, int] = SHAPE) -> NDArray[np.uint8]:
    """A kidney with a mass in it and a cyst beside it, somewhere."""
    rng = np.random.default_rng(seed)
    places = np.moveaxis(np.indices(shape), 0, -1) * SPACING_MM
    centre = (np.array(shape) / 2 + rng.uniform(-3, 3, 3)) * SPACING_MM
    label = np.zeros(shape, np.uint8)
    label[np.linalg.norm(places - centre, axis=-1) < 16] = KIDNEY
    label[np.linalg.norm(places - centre - (10, 0, 0), axis=-1) < 8] = MASS
    label[np.linalg.norm(places - centre + (10, 0, 0), axis=-1) < 6] = CYST
    return label


def tiny_image(label: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed + 1000)
    brightness = np.array([100, 160, 260, 30], np.float32)
    return brightness[label] + rng.normal(0, 6, label.shape).astype(np.float32)


@pytest.fixture
def tiny_plan() -> Plan:
    return Plan(code="CP", patch=(32, 32, 16), window=(64, 64, 32), channels=(8, 16, 32))


@pytest.fixture
def tiny_weights(tiny_plan: Plan) -> LoadedWeights:
    torch.manual_seed(3)
    return LoadedWeights(plan=tiny_plan, state=build_network(tiny_plan).state_dict(), notes={"made": "by a test"})


@pytest.fixture
def make_cases(tmp_path: Path) -> Callable[..., list[LabelledImage]]:
    def make(count: int, drawn: frozenset[str] = frozenset(STRUCTURE_NAMES), first: int = 0) -> list[LabelledImage]:
        affine = np.diag([*SPACING_MM, 1.0])
        cases = []
        for seed in range(first, first + count):
            label = tiny_label(seed)
            case = LabelledImage(
                image_id=f"P{seed}_CP",
                patient_id=f"P{seed}",
                image=tmp_path / f"image{seed}.nii.gz",
                label=tmp_path / f"label{seed}.nii.gz",
                drawn=drawn,
            )
            write_volume(Volume(data=tiny_image(label, seed), affine=affine), case.image)
            write_volume(Volume(data=label, affine=affine), case.label)
            cases.append(case)
        return cases

    return make
