"""Fixtures that three or more folders use, and guards that every test gets."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from lib.domain.cohort import format_cohort
from lib.domain.records import CaseRecord
from lib.domain.sequences import SEQUENCES, SequenceSpec
from lib.imaging.volume import Volume, write_volume

settings.register_profile("steady", deadline=None)  # a busy machine is no failure
settings.load_profile("steady")
SPACING_MM = (3.0, 3.0, 6.0)
SET_BY_TOOLS = ("PYTEST_CURRENT_TEST", "TORCHINDUCTOR_CACHE_DIR", "CUBLAS_WORKSPACE_CONFIG")


@pytest.fixture(params=list(SEQUENCES))
def sequence(request: pytest.FixtureRequest) -> SequenceSpec:
    """Each row of the table; a new row is tested without touching a test."""
    return SEQUENCES[request.param]


@pytest.fixture(autouse=True)
def unchanged_environment() -> Iterator[None]:
    """No test leaves the environment or a thread behind."""
    before, threads = environment(), set(threading.enumerate())
    yield
    assert environment() == before
    assert not [one for one in set(threading.enumerate()) - threads if not one.daemon]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in SET_BY_TOOLS}


def two_kidneys(seed: int = 0, shape: tuple[int, int, int] = (48, 40, 16)) -> tuple[Volume, Volume]:
    """A body of noise with two bright balls (kidneys) and a brighter one (mass): image and label."""
    grid = np.indices(shape).transpose(1, 2, 3, 0) * SPACING_MM
    centre = np.array(shape) * SPACING_MM / 2
    label = np.zeros(shape, np.uint8)
    for value, offset, radius in ((1, (-38, 0, 0), 24), (1, (38, 0, 0), 24), (2, (48, 8, 4), 13)):
        label[((grid - centre - offset) ** 2).sum(-1) < radius**2] = value
    body = (((grid - centre)[..., :2] / (66, 54)) ** 2).sum(-1) < 1
    rng = np.random.default_rng(seed)
    data = body * (100 + 60 * (label == 1) + 140 * (label == 2)) + rng.normal(0, 6, shape) ** 2
    affine = np.diag([*SPACING_MM, 1.0])
    return Volume(data=data.astype(np.float32), affine=affine), Volume(data=label, affine=affine)


@pytest.fixture
def make_cohort(tmp_path: Path) -> Callable[..., Path]:
    """Write a cohort folder of small images: ``make_cohort(["P1", "P2"], ["CP"], labelled=["P1_CP"])``."""

    def make(patients: list[str], codes: list[str], labelled: list[str] | None = None) -> Path:
        folder = tmp_path / "cohort"
        records = []
        for number, patient in enumerate(patients):
            for code in codes:
                image_id = f"{patient}_{code}"
                image, label = two_kidneys(number)
                write_volume(image, folder / f"{image_id}.nii.gz")
                if labelled is None or image_id in labelled:
                    write_volume(label, folder / "labels" / "final" / f"{image_id}.nii.gz")
                records.append(
                    CaseRecord(image_id=image_id, patient_id=patient, sequence=code, vendor="GE", centre="A", field_t=3)
                )
        (folder / "cohort.csv").write_text(format_cohort(records))
        return folder

    return make
