"""``main.py labels``: what waits for a reviewer, and its release."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.cli import app
from lib.configs.settings import Settings
from lib.loop.label_quality import Suspicion
from lib.loop.label_review import LabelReview

FOUND = (Suspicion(kind="shifted", reason="it fits both predictions better when it is moved by 20 mm"),)


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run ``main.py labels`` over an installation where one label is suspicious: exit code, stdout, stderr."""
    monkeypatch.setenv("RENAL_LOOP_LIVE", str(tmp_path / "live"))
    review = LabelReview(code="CP", image_id="P1_CP", sha256="22" * 32, at="2026-11-24", suspicions=FOUND)
    Settings.from_conf({}).reviews().add("CP", [review])

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["main.py", "labels", *arguments])
        code = app.run()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_a_suspicious_label_is_listed_until_it_is_released(run: Callable[..., tuple[int, str, str]]) -> None:
    (listed,) = json.loads(run("list", "--json")[1])["labels"]
    assert (listed["image_id"], listed["why"]) == ("P1_CP", f"shifted: {FOUND[0].reason}")
    assert "moved by 20 mm" in run("list")[1]
    assert run("release", "P1_CP", "--reason", "the patient moved")[0] == 0
    assert json.loads(run("list", "--json")[1])["labels"] == []
    code, _, said = run("release", "P1_CP", "--reason", "again")
    assert code == 2
    assert "no suspicious label of this image waits" in said
