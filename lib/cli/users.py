"""``users``: who may use the server, and as what."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lib.accounts.roles import ROLE_NAMES, get_role
from lib.accounts.users import UserFile
from lib.cli.report import JsonFlag, report
from lib.configs.server import ServerSettings

app = typer.Typer(help="Who may use the server. With the first user, the server asks everyone to log in.")

Name = Annotated[str, typer.Argument(help="User name: letters, digits, '.', '_' and '-'.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@app.command()
def add(
    name: Name,
    role: Annotated[str, typer.Option(help=f"One of: {', '.join(ROLE_NAMES)}.")] = ROLE_NAMES[0],
    password_stdin: FromStdin = False,
    as_json: JsonFlag = False,
) -> None:
    """Add a user."""
    file, found = _file(), get_role(role)
    file.add(name, found, _password(password_stdin))
    report({"user": name, "role": role, "file": str(file.path)}, as_json=as_json)


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List the users and their roles."""
    users = {user.name: user.role.title for user in _file().users()}
    report({"users": users} if as_json else users, as_json=as_json)


@app.command()
def passwd(name: Name, password_stdin: FromStdin = False, as_json: JsonFlag = False) -> None:
    """Give a user a new password; logins from before end."""
    _file().set_password(name, _password(password_stdin))
    report({"user": name}, as_json=as_json)


@app.command()
def remove(name: Name, as_json: JsonFlag = False) -> None:
    """Take a user out; logins end."""
    _file().remove(name)
    report({"removed": name}, as_json=as_json)


def _file() -> UserFile:
    return UserFile(ServerSettings.from_conf({}).users_file)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return answer
