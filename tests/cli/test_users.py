"""``users`` and what ``serve`` refuses, as a person or a script runs them."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.cli import app

BAD_INPUT = 2
PASSWORD = "correct horse battery"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple]:
    monkeypatch.setenv("RENAL_LOOP_USERS", str(tmp_path / "users.json"))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")  # serve sets it for the process that it becomes

    def run(*arguments: object, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["main.py", *map(str, arguments)])
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = app.run()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would replace this process."""
    commands: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, command: commands.append(command))
    return commands


def test_users_are_added_listed_changed_and_removed(run) -> None:
    assert run("users", "list", "--json")[1] == '{"users": {}}\n'
    code, out, err = run("users", "add", "anna", "--role", "admin", "--password-stdin", typed=f"{PASSWORD}\n")
    assert (code, "admin" in out, PASSWORD in out + err) == (0, True, False)
    assert json.loads(run("users", "list", "--json")[1]) == {"users": {"anna": "admin"}}
    assert run("users", "passwd", "anna", "--password-stdin", typed="a longer password\n")[0] == 0
    assert run("users", "remove", "anna")[0] == 0
    assert json.loads(run("users", "list", "--json")[1]) == {"users": {}}


@pytest.mark.parametrize(
    ("arguments", "typed", "said"),
    [
        (("add", "anna", "--role", "king"), PASSWORD, "no role 'king'; expected one of: annotator, reviewer, admin"),
        (("add", "anna"), "short", "5 characters; expected 10"),
        (("add", "a b"), PASSWORD, "user name"),
        (("passwd", "anna"), PASSWORD, "no user 'anna'"),
    ],
)
def test_a_user_that_cannot_be_is_bad_input(run, arguments: tuple[str, ...], typed: str, said: str) -> None:
    code, _, err = run("users", *arguments, "--password-stdin", typed=f"{typed}\n")
    assert code == BAD_INPUT
    assert said in err


def test_loopback_needs_no_users_and_says_so(run, started: list, tmp_path: Path) -> None:
    code, _, err = run("serve", "--studies", tmp_path)
    assert code == 0
    assert "Notice: no login" in err
    assert started[0][-4:] == ["--host", "127.0.0.1", "--port", "8000"]


def test_a_network_gets_no_server_without_users(run, started: list, tmp_path: Path) -> None:
    code, _, err = run("serve", "--studies", tmp_path, "--host", "0.0.0.0", "--plain-http")  # noqa: S104
    assert (code, started) == (BAD_INPUT, [])
    assert "there are no users" in err
    assert "users add" in err


def test_a_network_gets_no_server_without_tls_unless_a_proxy_adds_it(run, started: list, tmp_path: Path) -> None:
    run("users", "add", "anna", "--password-stdin", typed=f"{PASSWORD}\n")
    code, _, err = run("serve", "--studies", tmp_path, "--host", "0.0.0.0")  # noqa: S104
    assert (code, started) == (BAD_INPUT, [])
    assert "no TLS" in err
    assert run("serve", "--studies", tmp_path, "--host", "0.0.0.0", "--plain-http")[0] == 0  # noqa: S104
    assert len(started) == 1


def test_certificate_and_key_go_together(run, started: list, tmp_path: Path) -> None:
    (certificate := tmp_path / "cert.pem").write_text("")
    code, _, err = run("serve", "--studies", tmp_path, "--tls-certificate", certificate)
    assert (code, started) == (BAD_INPUT, [])
    assert "--tls-key is missing" in err
    (key := tmp_path / "key.pem").write_text("")
    assert run("serve", "--studies", tmp_path, "--tls-certificate", certificate, "--tls-key", key)[0] == 0
    assert started[0][-4:] == ["--ssl_certfile", str(certificate), "--ssl_keyfile", str(key)]
