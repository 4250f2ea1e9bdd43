"""The study's replay at its smallest: one sequence, small images, one training step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.study import INTERNAL_CENTRE, is_tested, replay
from lib.domain.cohort import read_cohort
from lib.loop.splits import side_of
from lib.nets.trainee import FitSettings
from lib.phantom.cohort import SMALL_SIZE, generate_cohort

pytestmark = pytest.mark.slow


def test_the_replay_trains_on_one_centre_and_tests_on_everybody_it_never_saw(tmp_path: Path) -> None:
    records = generate_cohort(tmp_path / "cohort", patients=16, seed=500_001, sequences=["CP"], size=SMALL_SIZE)
    settings = FitSettings(epochs=1, steps_per_epoch=1, device="cpu")
    report = replay(tmp_path, ["CP"], settings)
    tested = {record.patient_id for record in read_cohort(tmp_path / "tested")}
    assert tested == {record.patient_id for record in records if is_tested(record)}
    assert not [
        record
        for record in records
        if record.patient_id in tested and record.centre == INTERNAL_CENTRE and side_of(record.patient_id) != "holdout"
    ]
    assert {result.group for result in report.results} == {"all", "internal", "external", "non-GE"}
    assert report.counts.scored == len(tested)
    tables = (tmp_path / "study.md").read_text()
    assert all(f"| CP | {group} |" in tables for group in ("internal", "external", "non-GE"))
    assert "0.769 to 0.855" in tables
    assert json.loads((tmp_path / "report" / "report.json").read_text())["schema_version"]
    assert (tmp_path / "report" / "report.html").is_file()

    weights = tmp_path / "weights" / "CP.safetensors"
    made = weights.stat().st_mtime_ns
    assert replay(tmp_path, ["CP"], settings).counts == report.counts
    assert weights.stat().st_mtime_ns == made
