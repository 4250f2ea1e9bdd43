"""``onboard`` as a person runs it: a page after the import, a second half after labels, nothing done twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.cli import app
from lib.configs import settings as settings_module
from lib.domain.records import CaseScore, PromotionDecision
from lib.imaging.volume import Volume, read_volume, write_volume
from lib.nets.networks import Plan, build_network, save_weights
from lib.trainers import adapt as adapting
from tests.ingest.examination import series, write

CODES = ("CP", "NP")


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, dict, str]]:
    """Run ``onboard`` with small untrained networks: exit code, its document, stderr."""
    monkeypatch.setattr(settings_module, "APP_FOLDER", tmp_path)
    monkeypatch.setenv("RENAL_LOOP_LIVE", str(tmp_path / "live"))
    torch.manual_seed(0)
    for code in CODES:
        plan = Plan(code=code, spacing_mm=(6.0, 6.0, 6.0), window=(32, 32, 16), channels=(4, 8, 8))
        weights = tmp_path / "model" / "shipped" / f"{code}.safetensors"
        save_weights(weights, build_network(plan).state_dict(), plan, {"version": f"{code}-test"})

    def run(*arguments: object) -> tuple[int, dict, str]:
        options = ["--into", tmp_path / "cohort", "--centre", "North 2", "--key", tmp_path / "secret" / "key", "--json"]
        monkeypatch.setattr("sys.argv", ["main.py", "onboard", *map(str, [*arguments, *options])])
        code = app.run()
        printed = capfd.readouterr()
        return code, json.loads(printed.out) if printed.out else {}, printed.err

    return run


@pytest.fixture
def dicom(tmp_path: Path) -> Path:
    return write(tmp_path / "dicom", *(series(code) for code in CODES))


def test_the_page_comes_with_the_import_and_nothing_is_done_twice(run, dicom: Path, tmp_path: Path) -> None:
    code, said, err = run(dicom)
    assert code == 0, err
    assert said["recommendation"] in ("go with review", "do not use")
    page = Path(said["report"])
    assert page == tmp_path / "cohort" / "onboarding" / "North-2" / "report.html"
    text = page.read_text()
    assert "<script" not in text
    assert "North 2" in text
    assert said["label_first"][0] in text
    before = {path: path.stat().st_mtime_ns for path in page.parent.rglob("*.nii.gz")}
    assert len(before) == len(CODES)
    _, again, _ = run(dicom)
    assert {path: path.stat().st_mtime_ns for path in page.parent.rglob("*.nii.gz")} == before
    assert page.read_text() == text
    assert again["label_first"] == said["label_first"]


def test_labels_bring_the_second_half_once(run, dicom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(dicom)
    cohort, asked = tmp_path / "cohort", []
    image = next(cohort.glob("*_CP.nii.gz"))
    volume = read_volume(image)
    empty = Volume(data=np.zeros(volume.shape, np.uint8), affine=volume.affine)
    write_volume(empty, cohort / "labels" / "final" / image.name)

    def scores(new: float) -> list[CaseScore]:
        rows = (("Old", 0.6, 20), ("", new, 3))
        return [
            CaseScore(
                image_id=f"{s}{n}", patient_id=f"{s}{n}", dice={"mass": d}, found=True, false_positives=0, scanner=s
            )
            for s, d, count in rows
            for n in range(count)
        ]

    def fake(code: str, cases, new, *_: object, **__: object) -> adapting.Adaptation:
        asked.append((code, [case.image_id for case in cases], sorted(new)))
        decision = PromotionDecision(verdict="promote", reason="better on average")
        return adapting.Adaptation(
            code=code, version="CP-2", taught=1, rehearsed=0, before=scores(0.2), after=scores(0.5), decision=decision
        )

    monkeypatch.setattr(adapting, "adapt", fake)
    for _ in range(2):
        code, said, err = run(dicom)
        assert code == 0, err
    assert [one[0] for one in asked] == ["CP"]
    assert said["fine_tuned"] == ["CP-2"]
    text = Path(said["report"]).read_text()
    assert "better on average" in text
    assert "no image of this scanner is labelled yet" in text


def test_a_folder_without_a_known_sequence_fails(run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "note.txt").write_text("no DICOM")
    code, *_ = run(tmp_path / "empty")
    assert code in (1, 2)
