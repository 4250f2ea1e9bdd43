"""MLflow is brought in step beside the server, and only when something changed."""

import sys
from pathlib import Path

import pytest

from lib.configs import upkeep
from lib.configs.settings import Settings
from lib.registry import mirror


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that were started."""
    found: list[list[str]] = []

    class Process:
        def __init__(self, command: list[str], **_: object) -> None:
            found.append(command)

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(upkeep.subprocess, "Popen", Process)
    return found


def test_nothing_is_started_where_nothing_was_trained(tmp_path: Path, started: list[list[str]]) -> None:
    upkeep.sync_soon(Settings(live=str(tmp_path / "live")))
    assert started == []


def test_a_change_starts_one_process_until_mlflow_is_in_step(tmp_path: Path, started: list[list[str]]) -> None:
    settings = Settings(live=str(tmp_path))
    (tmp_path / "CP").mkdir()
    (tmp_path / "CP" / "champion.safetensors").write_bytes(b"earlier release")
    upkeep.sync_soon(settings)
    assert [command[-2:] for command in started] == [["models", "sync"]]
    (tmp_path / "mlflow" / "in-step").write_text(mirror._digest(settings.models()))
    upkeep.sync_soon(settings)
    assert len(started) == 1


def test_the_server_never_imports_mlflow() -> None:
    assert "mlflow" not in sys.modules
