"""A proposal comes from the sequence's own, newest, trusted weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nrrd
import numpy as np
import pytest
import torch

from lib.domain.errors import BadRequestError, BadWeightsError, UnknownModelError
from lib.domain.evidence import ProposalEvidence
from lib.domain.sequences import SequenceSpec
from lib.imaging.volume import Volume, read_label, read_volume
from lib.infers.propose import Proposer
from lib.infers.sequence import SequenceInfer
from lib.loop.trust import trust_note
from lib.loop.trust_fit import fit_trust
from lib.nets.networks import Plan, build_network, save_weights
from lib.registry.models import ModelFolder
from tests.conftest import two_kidneys

Write = Callable[..., Path]


@pytest.fixture
def models(tmp_path: Path) -> ModelFolder:
    return ModelFolder(shipped=tmp_path / "shipped", live=tmp_path / "live")


@pytest.fixture
def write(models: ModelFolder) -> Write:
    """Weights of a small network that finds something everywhere."""

    def write(code: str, version: str = "v1", plan_code: str = "", **notes: str) -> Path:
        torch.manual_seed(0)
        plan = Plan(code=plan_code or code, spacing_mm=(3.0, 3.0, 6.0), channels=(8, 16, 16))
        path = models.shipped / f"{code}.safetensors"
        save_weights(path, build_network(plan).state_dict(), plan, {"version": version, **notes})
        return path

    return write


@pytest.fixture
def image_file(make_cohort: Callable[..., Path]) -> Path:
    return make_cohort(["P1"], ["CP"]) / "P1_CP.nii.gz"


def test_every_sequence_has_a_task_that_appears_with_its_weights(
    sequence: SequenceSpec, models: ModelFolder, write: Write
) -> None:
    task, auto = SequenceInfer(Proposer(models), sequence), SequenceInfer(Proposer(models))
    assert not task.is_valid()
    assert not auto.is_valid()
    write(sequence.code)
    assert task.is_valid()
    assert auto.is_valid()


def test_the_reply_names_sequence_version_and_masses(models: ModelFolder, write: Write) -> None:
    write("NP", "NP-7")
    image, _ = two_kidneys()
    proposal = Proposer(models).propose(image, metadata="NP")
    assert proposal.label.shape == image.shape
    reply = proposal.to_json()
    assert reply["model_version"] == "NP-7"
    assert reply["sequence"]["code"] == "NP"
    assert reply["sequence"]["reason"] == "the cohort table says NP"
    assert reply["label_names"] == {"kidney": 1, "mass": 2, "cyst": 3}
    measured = {"volume_ml", "diameter_mm", "side", "small", "centre_ras", "confidence"}
    assert measured == set(reply["masses"][0]) or not reply["masses"]
    assert reply["kidneys_found"] == 0
    assert reply["searched"] == "the whole field of view"


def test_a_proposal_that_is_expected_to_be_poor_is_flagged_in_the_reply(models: ModelFolder, write: Write) -> None:
    sure = ProposalEvidence(masses=1, mass_ml=1.0, overlap=0.9, confidence=0.9, surest=0.9, doubt_ml=1.0)
    model = fit_trust([(sure, 0.1), (replace(sure, masses=0), 0.1)], [])
    image, _ = two_kidneys()
    write("NP", trust=trust_note(replace(model, threshold=1.0)))
    proposer = Proposer(models)
    reply = proposer.propose(image, requested="NP").to_json()
    assert reply["distrust"]
    assert reply["distrust_reason"].startswith(f"expected mass Dice {reply['expected_dice']:.2f}, below 1.00: ")
    write("NP", trust=trust_note(replace(model, threshold=0.0)))
    reply = proposer.propose(image, requested="NP").to_json()
    assert (reply["distrust"], reply["distrust_reason"]) == (False, "")
    write("NP")
    assert proposer.propose(image, requested="NP").to_json()["expected_dice"] is None


def test_a_replaced_weight_file_serves_at_once(models: ModelFolder, write: Write) -> None:
    write("NP", "first")
    proposer = Proposer(models)
    image, _ = two_kidneys()
    assert proposer.propose(image, requested="NP").model_version == "first"
    write("NP", "second")
    assert proposer.propose(image, requested="NP").model_version == "second"


def test_a_version_that_is_pruned_between_look_and_read_costs_no_request(
    models: ModelFolder, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, looked = write("NP", "good"), []

    def champion(_: ModelFolder, code: str) -> Path:
        looked.append(code)
        return good if len(looked) > 1 else good.with_name("pruned.safetensors")

    monkeypatch.setattr(ModelFolder, "champion", champion)
    assert Proposer(models).propose(two_kidneys()[0], requested="NP").model_version == "good"


def test_weights_of_another_sequence_are_refused(models: ModelFolder, write: Write) -> None:
    write("NP", plan_code="CP")
    with pytest.raises(BadWeightsError, match="for sequence 'CP'; expected 'NP'"):
        Proposer(models).propose(two_kidneys()[0], requested="NP")


def test_a_sequence_without_weights_is_said_to_have_none(models: ModelFolder, write: Write) -> None:
    write("NP")
    with pytest.raises(UnknownModelError, match="no trained model for sequence 'CP'"):
        Proposer(models).propose(two_kidneys()[0], metadata="CP")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_the_file_lies_on_the_image(models: ModelFolder, write: Write, image_file: Path, suffix: str) -> None:
    write("CP")
    request = {"image": str(image_file), "image_info": {"sequence": "CP"}, "result_extension": suffix}
    name, reply = SequenceInfer(Proposer(models))(request)
    label, image = read_label(Path(name)), read_volume(image_file)
    Path(name).unlink()
    assert name.endswith(suffix)
    assert label.shape == image.shape
    np.testing.assert_allclose(label.affine, image.affine, atol=1e-5)
    assert reply["sequence"]["source"] == "metadata"


def test_nrrd_for_ohif_keeps_the_voxel_order_and_states_lps(
    models: ModelFolder, write: Write, image_file: Path
) -> None:
    write("CP")
    request = {"image": str(image_file), "result_extension": ".nrrd", "sequence": "CP"}
    name, _ = SequenceInfer(Proposer(models))(request)
    data, header = nrrd.read(name)
    Path(name).unlink()
    expected = Proposer(models).propose(read_volume(image_file), requested="CP").label
    np.testing.assert_array_equal(data, expected.data)
    assert header["space"] == "left-posterior-superior"
    np.testing.assert_allclose(header["space directions"], np.diag([-3.0, -3.0, 6.0]))


def test_an_unknown_file_type_is_refused(models: ModelFolder, write: Write, image_file: Path) -> None:
    write("CP")
    with pytest.raises(BadRequestError, match=r"'\.exe'; expected one of \.nii\.gz"):
        SequenceInfer(Proposer(models))({"image": str(image_file), "result_extension": ".exe"})


def test_pixels_tell_the_sequence_when_nothing_else_does(models: ModelFolder, write: Write, monkeypatch) -> None:
    write("DP")
    proposer = Proposer(models)
    monkeypatch.setattr(proposer, "_classify", lambda _: {"CP": 0.1, "DP": 0.9})
    (models.shipped / "recogniser.safetensors").write_bytes(b"")
    guess = proposer.propose(two_kidneys()[0]).sequence
    assert (guess.code, guess.source) == ("DP", "image")


def test_the_sidecar_beside_an_image_tells_its_sequence(models: ModelFolder, write: Write, image_file: Path) -> None:
    write("CP")
    image = image_file.rename(image_file.with_name("scan.nii.gz"))
    info = {"sidecar": {"Manufacturer": "GE", "SeriesDescription": "Ax LAVA arterial"}}
    name, reply = SequenceInfer(Proposer(models))({"image": str(image), "image_info": info})
    Path(name).unlink()
    assert (reply["sequence"]["code"], reply["sequence"]["source"]) == ("CP", "sidecar")


def test_an_image_of_one_slice_gets_a_proposal(models: ModelFolder, write: Write) -> None:
    write("CP")
    image, _ = two_kidneys()
    flat = Volume(data=image.data[:, :, 8:9], affine=image.affine)
    assert Proposer(models).propose(flat, requested="CP").label.shape == flat.shape
