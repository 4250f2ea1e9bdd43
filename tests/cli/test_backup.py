"""``backup`` and ``restore``, as an admin types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.imaging.volume import write_bytes

Run = Callable[..., tuple[int, str, str]]
BAD_INPUT = 2


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_cohort: Callable[..., Path]) -> Path:
    """A cohort, a version and a user."""
    monkeypatch.setenv("RENAL_LOOP_LIVE", str(tmp_path / "live"))
    monkeypatch.setenv("RENAL_LOOP_USERS", str(tmp_path / "config" / "users.json"))
    write_bytes(b"{}", tmp_path / "live" / "CP" / "versions" / "CP-9.json")
    write_bytes(b"mlflow's", tmp_path / "live" / "mlflow" / "mlflow.sqlite")
    write_bytes(b"{}", tmp_path / "config" / "users.json", mode=0o600)
    return make_cohort(["P1"], ["CP"])


def test_an_installation_moves_to_another_machine(
    run: Run, installation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run("backup", installation, "--to", tmp_path / "all.tar", "--json")
    assert code == 0
    assert json.loads(out)["users"] == 1
    assert (tmp_path / "all.tar").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("RENAL_LOOP_LIVE", str(tmp_path / "there" / "live"))
    monkeypatch.setenv("RENAL_LOOP_USERS", str(tmp_path / "there" / "config" / "users.json"))
    assert run("restore", tmp_path / "all.tar", "--into", tmp_path / "there" / "cohort")[0] == 0
    found = {
        path.relative_to(tmp_path / "there").as_posix() for path in (tmp_path / "there").rglob("*") if path.is_file()
    }
    assert {"cohort/P1_CP.nii.gz", "cohort/labels/final/P1_CP.nii.gz", "live/CP/versions/CP-9.json"} <= found
    assert "live/mlflow/mlflow.sqlite" not in found
    assert (tmp_path / "there" / "config" / "users.json").stat().st_mode & 0o077 == 0


def test_users_who_are_there_are_kept_and_that_is_said(
    run: Run, installation: Path, tmp_path: Path, monkeypatch
) -> None:
    run("backup", installation, "--to", tmp_path / "all.tar", "--without-images")
    write_bytes(b'{"newer": true}', tmp_path / "config" / "users.json", mode=0o600)
    monkeypatch.setenv("RENAL_LOOP_LIVE", str(tmp_path / "there"))
    code, out, _ = run("restore", tmp_path / "all.tar", "--into", tmp_path / "new", "--json")
    assert code == 0
    assert json.loads(out)["users_kept"] is True
    assert "newer" in (tmp_path / "config" / "users.json").read_text()
    assert not (tmp_path / "new" / "P1_CP.nii.gz").exists()


def test_what_cannot_be_backed_up_here_is_said(run: Run, installation: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("RENAL_LOOP_STORE", "postgresql+psycopg://somewhere/else")
    code, _, err = run("backup", installation, "--to", tmp_path / "all.tar")
    assert code == BAD_INPUT
    assert "the database's own backup" in err
    assert not (tmp_path / "all.tar").exists()
