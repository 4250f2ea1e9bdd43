"""The command line, run in this process."""

from collections.abc import Callable

import pytest

from lib.cli import app


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run ``main.py`` with arguments: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["main.py", *map(str, arguments)])
        code = app.run()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
