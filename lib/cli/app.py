"""``python main.py COMMAND``: exit code 0 done, 1 failed, 2 bad input; logs on stderr, ``--json`` on stdout."""

from __future__ import annotations

import logging
import sys

import typer

from lib.cli import phantom, predict, serve, train
from lib.domain.errors import RenalError

FAILED, BAD_INPUT = 1, 2

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(serve.serve)
app.command()(phantom.phantom)
app.command()(predict.predict)
app.command()(train.train)


def run() -> None:
    """Run the command line; the one place where errors become exit codes."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        app(standalone_mode=True)
    except RenalError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT if error.status < 500 else FAILED)
    except OSError as error:
        print(f"{type(error).__name__}: {error.strerror}", file=sys.stderr)
        sys.exit(FAILED)
