"""``labels``: which labels were found suspicious before training, and which of them a reviewer says are right."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from lib.cli.report import JsonFlag, report, table
from lib.configs.settings import Settings
from lib.registry.changes import person

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command("list")
def list_(json_: JsonFlag = False) -> None:
    """Show the suspicious labels that wait for a reviewer, and what speaks against each."""
    waiting = Settings.from_conf({}).reviews().open()
    if json_:
        report({"labels": [{**asdict(one), "why": one.why} for one in waiting]}, as_json=True)
    else:
        table([{"image_id": one.image_id, "code": one.code, "found": one.at, "why": one.why} for one in waiting])


@app.command()
def release(
    image_id: str,
    reason: Annotated[str, typer.Option(help="Why, in a sentence; it goes on record.")],
    json_: JsonFlag = False,
) -> None:
    """Say that a suspicious label is right: from the next training on it counts as any other."""
    released = Settings.from_conf({}).reviews().release(image_id, who=person(), why=reason)
    report(asdict(released), as_json=json_)
