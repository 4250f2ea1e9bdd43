from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lib.domain import sequences
from lib.domain.errors import BadWeightsError, UnknownStructureError
from lib.domain.sequences import SequenceSpec
from lib.nets.networks import ALL_SEQUENCES, LoadedWeights, Plan, build_network, load_weights, save_weights


@pytest.fixture
def written(tmp_path: Path, tiny_weights: LoadedWeights) -> Path:
    path = tmp_path / "model" / "CP.safetensors"
    save_weights(path, tiny_weights.state, tiny_weights.plan, tiny_weights.notes)
    return path


def test_logits_lie_on_the_voxels_of_the_image(tiny_plan: Plan) -> None:
    shape = tuple(2 * n for n in tiny_plan.multiple)
    assert build_network(tiny_plan)(torch.zeros(1, 1, *shape)).shape == (1, tiny_plan.classes, *shape)


def test_the_default_network_sees_at_least_100_mm(tiny_plan: Plan) -> None:
    """The output's centre depends on input voxels 50 mm away along each axis."""
    plan = Plan(code=ALL_SEQUENCES, channels=(8, 8, 8, 8))
    network = build_network(plan)
    image = torch.randn(1, 1, 96, 96, 48, requires_grad=True)
    network(image)[0, :, 48, 48, 24].abs().sum().backward()
    assert image.grad is not None
    reached = image.grad[0, 0].abs()
    assert reached[:15].max() > 0
    assert reached[:, :15].max() > 0
    assert reached[:, :, :8].max() > 0


def test_a_file_gives_back_plan_notes_and_weights_within_half_precision(
    written: Path, tiny_weights: LoadedWeights
) -> None:
    loaded = load_weights(written)
    assert loaded.plan == tiny_weights.plan
    assert loaded.notes == tiny_weights.notes
    for name, tensor in tiny_weights.state.items():
        assert loaded.state[name].dtype == torch.float32
        assert torch.allclose(loaded.state[name], tensor, rtol=1e-3, atol=1e-6)


def test_saving_what_was_loaded_changes_no_byte(written: Path) -> None:
    before, loaded = written.read_bytes(), load_weights(written)
    save_weights(written, loaded.state, loaded.plan, loaded.notes)
    assert load_weights(written).state.keys() == loaded.state.keys()
    assert len(written.read_bytes()) == len(before)


@given(keep=st.floats(0, 0.999))
@settings(max_examples=25, deadline=None)
def test_a_truncated_file_is_refused(keep: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    plan = Plan(code="CP", channels=(8, 8, 8))
    path = tmp_path_factory.mktemp("cut") / "weights.safetensors"
    save_weights(path, build_network(plan).state_dict(), plan, {})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(BadWeightsError):
        load_weights(path)


@given(content=st.binary(max_size=200))
@settings(max_examples=25, deadline=None)
def test_garbage_is_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("garbage") / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadWeightsError):
        load_weights(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadWeightsError, match="not a readable"):
        load_weights(tmp_path / "none.safetensors")


def test_somebody_elses_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(BadWeightsError, match="not written by renal-loop"):
        load_weights(tmp_path / "other.safetensors")


def test_weights_of_another_network_are_refused(tmp_path: Path, tiny_weights: LoadedWeights) -> None:
    wider = replace(tiny_weights.plan, channels=(16, 32, 64))
    save_weights(tmp_path / "w.safetensors", tiny_weights.state, wider, {})
    with pytest.raises(BadWeightsError, match="do not fit"):
        load_weights(tmp_path / "w.safetensors")


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path, tiny_weights: LoadedWeights) -> None:
    state = dict(tiny_weights.state)
    state["stem.bias"] = torch.full_like(state["stem.bias"], torch.nan)
    with pytest.raises(BadWeightsError, match="not finite"):
        save_weights(tmp_path / "w.safetensors", state, tiny_weights.plan, {})
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_failed_write_leaves_the_old_file(written: Path, tiny_weights: LoadedWeights, monkeypatch) -> None:
    before = written.read_bytes()

    def fail(_: int) -> None:
        raise OSError

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        save_weights(written, tiny_weights.state, tiny_weights.plan, {"new": "1"})
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_a_sixth_sequence_needs_only_its_row(monkeypatch) -> None:
    with pytest.raises(BadWeightsError, match="OPP"):
        build_network(Plan(code="OPP", channels=(8, 8, 8)))
    row = SequenceSpec(code="OPP", title="Opposed phase", weighting="T1")
    monkeypatch.setitem(sequences.SEQUENCES, "OPP", row)
    build_network(Plan(code="OPP", channels=(8, 8, 8)))


def test_an_unknown_structure_in_a_plan_is_refused(tiny_plan: Plan) -> None:
    with pytest.raises(UnknownStructureError, match="spleen"):
        build_network(replace(tiny_plan, structures=("spleen",)))


@pytest.mark.parametrize("channels", [(), (8, 8), (-8, 8, 8), (0, 8, 8)])
def test_channels_that_make_no_network_are_refused(tiny_plan: Plan, channels: tuple[int, ...]) -> None:
    with pytest.raises(BadWeightsError, match="channels"):
        build_network(replace(tiny_plan, channels=channels))
