"""What the pages name is there, and what is there is named."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from lib.cli import app
from tests.docs.pages import PAGES, ROOT, named_in_text, typed

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
MADE = sorted({command.line for page in PAGES for command in typed(page) if command.words[0] == "make"})
IN_TEXT = sorted({line for page in PAGES for line in named_in_text(page)} - {"COMMAND --help"})


@pytest.mark.parametrize("line", MADE)
def test_a_target_of_make_exists(line: str) -> None:
    assert {word for word in line.split()[1:] if "=" not in word} <= TARGETS


@pytest.mark.parametrize("line", IN_TEXT)
def test_a_command_that_a_sentence_names_is_one_that_the_program_takes(line: str) -> None:
    words = [re.sub("^[NS]$", "1", word) for word in shlex.split(line)]
    command, name = typer.main.get_command(app.app), "main.py"
    while hasattr(command, "resolve_command"):
        group = command.make_context(name, words)
        name, command, words = command.resolve_command(group, [*group._protected_args, *group.args])
    assert not command.make_context(name, words).args


def test_the_front_page_names_every_command() -> None:
    table = PAGES["README.md"].read_text().partition("| command | does |")[2].partition("\n\n")[0]
    named = {span.split()[0] for row in table.splitlines() for span in re.findall("`([^`]+)`", row)}
    assert set(typer.main.get_command(app.app).commands) <= named


def test_the_architecture_names_every_folder() -> None:
    folders = {path.parent.name for path in ROOT.glob("lib/*/__init__.py")}
    assert folders == set(re.findall(r"`lib/(\w+)/`", PAGES["architecture.md"].read_text().partition("## ")[0]))
