from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lib.domain.errors import BadWeightsError, NotEnoughLabelsError, UnknownSequenceError
from lib.imaging.volume import Volume, write_volume
from lib.nets.networks import LoadedWeights, save_weights
from lib.nets.recognise import (
    Recogniser,
    RecogniserPlan,
    RecogniserWeights,
    build_recogniser,
    load_recogniser,
    save_recogniser,
    train_recogniser,
)

CODES = ("T2WI", "CP")


def body(code: str, seed: int) -> Volume:
    """A body whose middle is dark in one sequence and bright in the other."""
    rng = np.random.default_rng(seed)
    places = np.moveaxis(np.indices((40, 36, 16)), 0, -1) - (20, 18, 8)
    radius = np.linalg.norm(places / (1, 1, 0.5), axis=-1)
    middle = {"T2WI": 40.0, "CP": 220.0}[code]
    data = np.where(radius < rng.uniform(7, 10), middle, np.where(radius < 17, 120.0, 0.0))
    noisy = data * rng.uniform(0.5, 5) + rng.normal(0, 4, data.shape)
    return Volume(data=noisy.astype(np.float32), affine=np.diag([6.0, 6.0, 8.0, 1.0]))


@pytest.fixture
def cases(tmp_path: Path) -> list[tuple[Path, str]]:
    rows = []
    for seed in range(16):
        code = CODES[seed % 2]
        path = tmp_path / f"{seed}.nii.gz"
        write_volume(body(code, seed), path)
        rows.append((path, code))
    return rows


@pytest.fixture
def untrained() -> RecogniserWeights:
    torch.manual_seed(0)
    plan = RecogniserPlan(codes=CODES, temperature=2.0)
    return RecogniserWeights(plan=plan, state=build_recogniser(plan).state_dict(), notes={"a": "b"})


def test_sequences_that_differ_in_contrast_are_told_apart(cases: list[tuple[Path, str]]) -> None:
    recogniser = Recogniser(train_recogniser(cases[:12], cases[12:], epochs=20, device="cpu"), "cpu")
    for seed in range(100, 106):
        code = CODES[seed % 2]
        assert next(iter(recogniser(body(code, seed)))) == code


def test_probabilities_sum_to_one_and_the_first_is_largest(untrained: RecogniserWeights) -> None:
    chances = Recogniser(untrained, "cpu")(body("CP", 1))
    assert sum(chances.values()) == pytest.approx(1)
    assert list(chances.values()) == sorted(chances.values(), reverse=True)
    assert set(chances) == set(CODES)


def test_a_turned_image_is_taken_for_the_same(untrained: RecogniserWeights) -> None:
    image = body("CP", 1)
    turned = Volume(data=image.data[::-1], affine=image.affine @ np.diag([-1, 1, 1, 1.0]))
    assert Recogniser(untrained, "cpu")(turned) == Recogniser(untrained, "cpu")(image)


def test_the_same_seed_gives_the_same_classifier(cases: list[tuple[Path, str]]) -> None:
    first, again = (train_recogniser(cases[:6], cases[6:8], epochs=1, device="cpu") for _ in range(2))
    assert all(torch.equal(first.state[name], again.state[name]) for name in first.state)


def test_a_file_gives_back_plan_and_notes(tmp_path: Path, untrained: RecogniserWeights) -> None:
    save_recogniser(tmp_path / "r.safetensors", untrained)
    loaded = load_recogniser(tmp_path / "r.safetensors")
    assert loaded.plan == untrained.plan
    assert loaded.notes == untrained.notes


def test_a_segmentation_networks_file_is_refused(tmp_path: Path, tiny_weights: LoadedWeights) -> None:
    save_weights(tmp_path / "w.safetensors", tiny_weights.state, tiny_weights.plan, {})
    with pytest.raises(BadWeightsError, match="task 'segment'"):
        load_recogniser(tmp_path / "w.safetensors")


def test_a_truncated_file_is_refused(tmp_path: Path, untrained: RecogniserWeights) -> None:
    path = tmp_path / "r.safetensors"
    save_recogniser(path, untrained)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadWeightsError):
        load_recogniser(path)


def test_images_of_one_sequence_are_not_enough(cases: list[tuple[Path, str]]) -> None:
    with pytest.raises(NotEnoughLabelsError, match="at least two"):
        train_recogniser([case for case in cases if case[1] == "CP"], [])


def test_an_unknown_code_is_refused(cases: list[tuple[Path, str]]) -> None:
    with pytest.raises(UnknownSequenceError):
        train_recogniser([*cases, (cases[0][0], "FLAIR")], [])
