"""``python main.py COMMAND``: exit code 0 done, 1 failed, 2 bad input; logs on stderr, ``--json`` on stdout."""

from __future__ import annotations

import logging
import sys

import typer

from lib.cli import (
    backup,
    clicks,
    distribution,
    doctor,
    evaluate,
    export,
    imports,
    labels,
    models,
    onboard,
    pacs,
    phantom,
    predict,
    propagate,
    recogniser,
    serve,
    train,
    users,
)
from lib.domain.errors import RenalError

FAILED, BAD_INPUT = 1, 2
_SERVER_ERROR = 500

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(serve.serve)
app.command()(pacs.pacs)
app.command()(phantom.phantom)
app.command("import")(imports.import_)
app.command()(onboard.onboard)
app.command()(export.export)
app.command()(predict.predict)
app.command()(propagate.propagate)
app.command()(train.train)
app.command()(doctor.doctor)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(evaluate.evaluate)
app.command()(distribution.distribution)
app.command()(recogniser.train_recogniser)
app.command()(clicks.train_clicks)
app.add_typer(models.app, name="models")
app.add_typer(labels.app, name="labels")
app.add_typer(users.app, name="users")


def run() -> int:
    """Run the command line and return its exit code; the one place where errors become exit codes."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        app(standalone_mode=True)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except RenalError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return BAD_INPUT if error.status < _SERVER_ERROR else FAILED
    except OSError as error:
        print(f"{type(error).__name__}: {error.strerror}", file=sys.stderr)
        return FAILED
    return 0
