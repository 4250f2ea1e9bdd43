"""The benchmark on few labels, at its smallest."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.fine_tune import Arm, Trial, run
from lib.domain.records import LabelledImage
from lib.domain.structures import KIDNEY, MASS, STRUCTURE_NAMES
from lib.imaging.volume import Volume, write_volume
from lib.loop.splits import side_of
from lib.nets.networks import LoadedWeights, Plan, build_network
from lib.nets.trainee import FitSettings

pytestmark = pytest.mark.slow
PLAN = Plan(code="CP", patch=(32, 32, 16), window=(64, 64, 32), channels=(8, 16, 16))


def images(folder: Path, vendor: str) -> list[LabelledImage]:
    """One image of a patient on each side of the split."""
    found = []
    for side in ("train", "validation"):
        patient = next(f"P{number}" for number in range(100) if side_of(f"P{number}") == side)
        rng = np.random.default_rng(len(found))
        label = np.zeros((32, 32, 16), np.uint8)
        label[8:24, 8:24, 4:12] = KIDNEY
        label[10:18, 10:18, 6:10] = MASS
        image = (100 + 50 * label + rng.normal(0, 5, label.shape)).astype(np.float32)
        case = LabelledImage(
            image_id=f"{patient}_CP",
            patient_id=patient,
            image=folder / f"{vendor}-{side}.nii.gz",
            label=folder / f"{vendor}-{side}-label.nii.gz",
            drawn=frozenset(STRUCTURE_NAMES),
            vendor=vendor,
        )
        write_volume(Volume(data=image, affine=np.diag([1.5, 1.5, 3.0, 1.0])), case.image)
        write_volume(Volume(data=label, affine=np.diag([1.5, 1.5, 3.0, 1.0])), case.label)
        found.append(case)
    return found


def test_an_arm_is_trained_and_scored_on_the_new_and_the_known_scanner(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trial = Trial(
        code="CP",
        settings=FitSettings(epochs=1, steps_per_epoch=1, batch_size=1, device="cpu"),
        base=LoadedWeights(plan=PLAN, state=build_network(PLAN).state_dict()),
        new=images(tmp_path, "Canon"),
        old=images(tmp_path, "GE"),
        most=1,
    )
    arm = Arm(learning_rate=1e-3, freeze="encoder", rehearsal=0.5)
    for one in (arm, replace(arm, start=False)):
        found = run(trial, one, 1, "validation")
        assert {found["new"]["images"], found["known"]["images"]} == {1}
