"""Commands as a person or a script runs them: exit code, one JSON document, files."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from lib.configs import settings
from lib.nets.networks import Plan, build_network, save_weights

BAD_INPUT = 2


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A live folder with small untrained networks for CP and NP, in front of an empty shipped folder."""
    monkeypatch.setattr(settings, "APP_FOLDER", tmp_path)
    monkeypatch.setenv("RENAL_LOOP_LIVE", str(tmp_path / "live"))
    for code in ("CP", "NP"):
        torch.manual_seed(0)
        plan = Plan(code=code, spacing_mm=(3.0, 3.0, 6.0), channels=(8, 16, 16))
        path = tmp_path / "live" / code / "champion.safetensors"
        save_weights(path, build_network(plan).state_dict(), plan, {"version": f"{code}-test"})
    return tmp_path


def test_predict_writes_a_label_per_image_and_one_table(run, weights: Path, make_cohort, tmp_path: Path) -> None:
    cohort = make_cohort(["P1"], ["CP", "NP"])
    code, out, _ = run("predict", cohort, "--out", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out)["predicted"] == 2
    table = json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]
    assert {name: (row["sequence"]["code"], row["model_version"]) for name, row in table.items()} == {
        "P1_CP": ("CP", "CP-test"),
        "P1_NP": ("NP", "NP-test"),
    }
    assert nib.load(tmp_path / "out" / "P1_CP.nii.gz").shape == nib.load(cohort / "P1_CP.nii.gz").shape


def test_a_bad_image_is_reported_and_the_others_go_on(run, weights: Path, make_cohort, tmp_path: Path) -> None:
    cohort = make_cohort(["P1", "P2"], ["CP"])
    (cohort / "P1_CP.nii.gz").write_text("no image")
    code, out, _ = run("predict", cohort, "--out", tmp_path / "out", "--json")
    assert code == 1
    assert json.loads(out)["predicted"] == 1
    assert "not a NIfTI image" in json.loads(out)["failed"]["P1_CP"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["P2_CP.nii.gz", "predictions.json"]


@pytest.mark.parametrize("data", [np.zeros((8, 8, 8)), np.full((8, 8, 8), np.nan), np.ones((8, 8, 8, 2))])
def test_only_bad_images_is_bad_input(run, weights: Path, tmp_path: Path, data: np.ndarray) -> None:
    (folder := tmp_path / "images").mkdir()
    nib.save(nib.Nifti1Image(data.astype(np.float32), np.eye(4)), folder / "P1_CP.nii.gz")
    code, out, _ = run("predict", folder, "--out", tmp_path / "out", "--json")
    assert code == BAD_INPUT
    assert "expected" in json.loads(out)["failed"]["P1_CP"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["predict", "{cohort}", "--out", "{out}", "--sequence", "FLAIR"], "no sequence 'FLAIR'"),
        (["predict", "{out}/nowhere", "--out", "{out}"], "not a folder"),
        (["train", "{cohort}", "--sequence", "FLAIR", "--out", "{out}/w.safetensors"], "no sequence 'FLAIR'"),
        (["train", "{cohort}", "--sequence", "CP", "--out", "{out}/w.safetensors"], "expected at least one of each"),
        (["phantom", "{cohort}", "--patients", "1"], "BadCohortError"),
        (["serve", "--studies", "{out}/nowhere"], "not a folder"),
        (["serve"], "Missing option"),
    ],
)
def test_bad_input_exits_with_2_and_writes_nothing(
    run, weights: Path, make_cohort, tmp_path: Path, arguments: list[str], said: str
) -> None:
    names = {"cohort": make_cohort(["P1"], ["CP"]), "out": tmp_path / "out"}
    code, out, err = run(*(text.format(**names) for text in arguments))
    assert code == BAD_INPUT
    assert said in err
    assert out == ""
    assert not (tmp_path / "out").exists()


def test_train_writes_a_weight_file_that_predicts(run, weights: Path, make_cohort, tmp_path: Path) -> None:
    cohort = make_cohort(["P1", "P0013"], ["CP"])  # one on either side of the split
    file = tmp_path / "live" / "CP" / "champion.safetensors"
    options = ["--minutes", "0.05", "--start-from", file, "--out", file, "--version", "new"]
    code, out, _ = run("train", cohort, "--sequence", "CP", *options, "--json")
    assert code == 0, out
    assert json.loads(out)["trained_on"] == "1"
    assert run("predict", cohort, "--out", tmp_path / "out", "--json")[0] == 0
    table = json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]
    assert table["P1_CP"]["model_version"] == "new"
