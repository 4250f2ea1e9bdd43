"""``evaluate`` as a person or a script runs it."""

import json
from pathlib import Path

import numpy as np
import pytest

from lib.evaluation.report import read_report
from lib.imaging.volume import Volume, nifti_files, read_label, write_volume


@pytest.fixture
def folders(make_cohort, tmp_path: Path) -> tuple[Path, Path]:
    """A cohort of two patients in two sequences, and its labels shifted by a voxel as predictions."""
    cohort, predictions = make_cohort(["P1", "P2"], ["CP", "NP"]), tmp_path / "predictions"
    for image_id, path in nifti_files(cohort / "labels" / "final").items():
        label = read_label(path)
        write_volume(Volume(data=np.roll(label.data, 1, 1), affine=label.affine), predictions / f"{image_id}.nii.gz")
    return cohort, predictions


def test_evaluate_writes_a_report_and_says_what_is_in_it(run, folders, tmp_path: Path) -> None:
    cohort, predictions = folders
    options = [
        "--out",
        tmp_path / "out",
        "--group-by",
        "centre",
        "--group-by",
        "colour",
        "--draws",
        100,
        "--workers",
        1,
    ]
    code, out, _ = run("evaluate", cohort, "--predictions", predictions, "--compare", predictions, *options, "--json")
    assert code == 0
    said, report = json.loads(out), read_report(tmp_path / "out" / "report.json")
    assert (said["scored"], said["CP"]["masses"], said["problems"]) == (4, 2, 1)
    assert said["CP"]["median_dsc"] == pytest.approx(report.results[0].regions[-1].measures["dice"].median, abs=1e-4)
    assert "centre: A" in {group.name for group in report.groups}
    assert [problem.kind for problem in report.problems] == ["unknown_column"]
    assert all(one.difference.value == 0 for one in report.comparison.results)
    assert "centre: A" in Path(said["page"]).read_text()


def test_missing_folders_exit_with_2_and_write_nothing(run, folders, tmp_path: Path) -> None:
    cohort, predictions = folders
    for arguments in (
        [cohort, "--predictions", tmp_path / "nowhere"],
        [tmp_path / "nowhere", "--predictions", predictions],
    ):
        code, out, err = run("evaluate", *arguments, "--out", tmp_path / "out")
        assert (code, out) == (2, "")
        assert "not a folder" in err
    assert not (tmp_path / "out").exists()


def test_a_report_without_a_scored_image_says_why_and_exits_with_2(run, folders, tmp_path: Path) -> None:
    cohort, _ = folders
    (empty := tmp_path / "empty").mkdir()
    code, _, _ = run("evaluate", cohort, "--predictions", empty, "--out", tmp_path / "out", "--json")
    assert code == 2
    assert len(read_report(tmp_path / "out" / "report.json").problems) == 4
    assert "No image was scored" in (tmp_path / "out" / "report.html").read_text()
