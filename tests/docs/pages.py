"""What the pages tell people to type, and what they show beneath it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path for path in [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md"]}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`(?:\.venv/bin/)?python main\.py ([^`]+)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A command of a page.

    Attributes:
        page: File name.
        line: As it stands there, without its comment; continued lines are one.
        shown: What the page shows as its output; empty where it shows none.
    """

    page: str
    line: str
    shown: str = ""

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line)


def typed(page: str) -> list[Typed]:
    """Every command of a page's blocks in order: each line of a shell block, else what follows a prompt."""
    return [
        command
        for kind, block in _BLOCK.findall(PAGES[page].read_text())
        if kind in _READ
        for command in _READ[kind](page, block)
    ]


def _of_shell(page: str, block: str) -> Iterator[Typed]:
    for line in block.replace("\\\n", "").splitlines():
        if bare := re.sub(r"(^|\s+)# .*", "", line):
            yield Typed(page=page, line=bare)


def _of_session(page: str, block: str) -> Iterator[Typed]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        yield Typed(page=page, line=line, shown=shown)


_READ = {"sh": _of_shell, "": _of_session}


def named_in_text(page: str) -> list[str]:
    """Arguments of ``main.py`` that a page's sentences name."""
    return _INLINE.findall(PAGES[page].read_text())
