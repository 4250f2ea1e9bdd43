"""What the documentation tells people to type is what the program takes; an admin's page is run as it is written."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from lib.cli import app, models
from lib.registry.versions import version_in
from lib.web.routes import ROUTES

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "model" / "README.md"])
_BLOCK = re.compile(r"^```(?:sh|)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def typed(page: Path) -> list[list[str]]:
    """Words of every command line in a page's shell blocks; output that is shown beside them is left out."""
    lines = "\n".join(_BLOCK.findall(page.read_text())).replace("\\\n", " ").splitlines()
    return [_words(line) for line in (line.removeprefix("$ ") for line in lines) if _is_command(line)]


def _words(line: str) -> list[str]:
    """The words up to where the shell sends something elsewhere."""
    words = shlex.split(line, comments=True)
    return words[: next((place for place, word in enumerate(words) if word in ("<", ">", "|", "&&", "&")), None)]


def _is_command(line: str) -> bool:
    return line.startswith(("python main.py ", ".venv/bin/python main.py ", "make ", "curl "))


COMMANDS = [(page.name, words) for page in PAGES for words in typed(page)]
OURS = [(page, words[2:]) for page, words in COMMANDS if words[1] == "main.py"]
MADE = [(page, [word for word in words[1:] if "=" not in word]) for page, words in COMMANDS if words[0] == "make"]
ASKED = [(page, words) for page, words in COMMANDS if words[0] == "curl"]


def test_there_is_something_to_check() -> None:
    assert min(map(len, (OURS, MADE, ASKED))) > 2


@pytest.mark.parametrize(("page", "words"), OURS, ids=[f"{page}: {' '.join(words)}" for page, words in OURS])
def test_a_command_is_one_that_the_program_takes(page: str, words: list[str]) -> None:
    command, name = typer.main.get_command(app.app), "main.py"
    while hasattr(command, "resolve_command"):
        group = command.make_context(name, list(words))
        name, command, words = command.resolve_command(group, [*group._protected_args, *group.args])
    assert not command.make_context(name, list(words)).args


@pytest.mark.parametrize(("page", "targets"), MADE, ids=[f"{page}: {' '.join(words)}" for page, words in MADE])
def test_a_target_of_make_exists(page: str, targets: list[str]) -> None:
    assert targets, page
    assert set(targets) <= _TARGETS


@pytest.mark.parametrize(("page", "words"), ASKED, ids=[f"{page}: {' '.join(words)}" for page, words in ASKED])
def test_an_address_is_one_that_the_server_answers(page: str, words: list[str]) -> None:
    url = next(word for word in words if word.startswith("http://"))
    path = "/" + url.partition("://")[2].partition("/")[2].partition("?")[0]
    posts = any(word in ("-d", "-F", "--data") for word in words)
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if posts else "GET"
    patterns = [re.sub(r"\{[^}]+\}", "[^/]+", row.path) for row in ROUTES if row.method == method and row.endpoint]
    assert any(re.fullmatch(pattern, path) for pattern in patterns), f"{page}: {method} {path}"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run words as ``main.py``'s arguments: exit code, and what was printed."""
    monkeypatch.setattr(models, "sync_soon", lambda _: None)

    def run(words: list[str]) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["main.py", *words])
        monkeypatch.setattr("sys.stdin", io.StringIO("a long password\n"))
        code = app.run()
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def test_an_admins_page_is_run_from_top_to_bottom(
    run, make_cohort: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = make_cohort(["P1"], ["CP"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENAL_LOOP_USERS", str(tmp_path / "users.json"))
    monkeypatch.setenv("RENAL_LOOP_LIVE", str(tmp_path / "live"))
    done = []
    for words in typed(ROOT / "docs" / "operate.md"):
        if words[1] != "main.py":
            continue
        if words[2] == "restore":  # onto a machine where nothing is yet
            monkeypatch.setenv("RENAL_LOOP_LIVE", str(tmp_path / "other" / "live"))
            cohort = tmp_path / "other" / "cohort"
        meant = {"COHORT": str(cohort), "VERSION": version_in(ROOT / "model" / "shipped" / "CP.safetensors", "CP")}
        given = [meant.get(word, word) for word in words[2:]]
        code, printed = run(given)
        expected = 2 if "rollback" in given else 0  # no version was ever trained here: there is none to go back to
        assert (code, given) == (expected, given), printed
        done.append(given[0])
    assert {"users", "models", "backup", "restore", "doctor"} <= set(done)
