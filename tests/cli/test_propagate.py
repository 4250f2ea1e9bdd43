"""``propagate`` as a person runs it, with the alignment itself replaced: it has its own tests."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lib.cli import app
from lib.imaging.registration import Alignment
from lib.loop import propagate as loop

BAD_INPUT = 2


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run ``main.py propagate``: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        still = Alignment(matrix=np.eye(4), information=0.9, inverse_error_mm=0.1, shift_mm=(0.0, 0.0, 0.0))
        monkeypatch.setattr(loop, "align", lambda *_, **__: still)
        monkeypatch.setattr("sys.argv", ["main.py", "propagate", *map(str, arguments)])
        code = app.run()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_the_patients_other_images_get_a_label_and_nobody_elses(run, make_cohort, tmp_path: Path) -> None:
    cohort = make_cohort(["P1", "P2"], ["CP", "NP", "DP"], labelled=["P1_CP"])
    code, out, _ = run(cohort, "--from", "P1_CP", "--out", tmp_path / "out", "--json")
    assert code == 0, out
    assert json.loads(out)["propagated"] == 2
    table = json.loads((tmp_path / "out" / "propagations.json").read_text())
    assert table["from"] == "P1_CP"
    assert sorted(table["images"]) == ["P1_DP", "P1_NP"]
    assert 0.5 <= table["images"]["P1_DP"]["expected_dice"] <= 1
    assert nib.load(tmp_path / "out" / "P1_DP.nii.gz").shape == nib.load(cohort / "P1_DP.nii.gz").shape
    assert not (cohort / "labels" / "final" / "P1_DP.nii.gz").exists()


def test_an_unreadable_image_is_reported_and_the_others_go_on(run, make_cohort, tmp_path: Path) -> None:
    cohort = make_cohort(["P1"], ["CP", "NP", "DP"], labelled=["P1_CP"])
    (cohort / "P1_NP.nii.gz").write_text("no image")
    code, out, _ = run(cohort, "--from", "P1_CP", "--out", tmp_path / "out", "--json")
    assert code == 1
    assert "not a NIfTI image" in json.loads(out)["failed"]["P1_NP"]
    assert json.loads(out)["propagated"] == 1


def test_nothing_propagated_is_a_failure_with_its_reason(run, make_cohort, tmp_path: Path) -> None:
    cohort = make_cohort(["P1"], ["CP", "NP"], labelled=["P1_CP"])
    label = nib.load(cohort / "labels" / "final" / "P1_CP.nii.gz")
    nib.save(
        nib.Nifti1Image(np.zeros(label.shape, np.uint8), label.affine), cohort / "labels" / "final" / "P1_CP.nii.gz"
    )
    code, out, _ = run(cohort, "--from", "P1_CP", "--out", tmp_path / "out", "--json")
    assert code == 1
    assert "the label is empty" in json.loads(out)["not_propagated"]["P1_NP"]


@pytest.mark.parametrize(
    ("source", "said"), [("P1_NP", "no final label"), ("P9_CP", "no image of that id"), ("../x", "no image of that id")]
)
def test_an_image_without_a_label_is_bad_input(run, make_cohort, tmp_path: Path, source: str, said: str) -> None:
    cohort = make_cohort(["P1"], ["CP", "NP"], labelled=["P1_CP"])
    code, out, err = run(cohort, "--from", source, "--out", tmp_path / "out")
    assert code == BAD_INPUT
    assert said in err
    assert out == ""
    assert not (tmp_path / "out").exists()
