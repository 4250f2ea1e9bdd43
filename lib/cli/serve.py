"""``serve``: the server, on loopback unless told otherwise; nobody's network gets one without users."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from lib.accounts.loopback import is_loopback
from lib.accounts.users import UserFile
from lib.configs.server import ServerSettings
from lib.configs.settings import APP_FOLDER, Settings
from lib.domain.errors import BadCohortError, BadRequestError

_ADD_USERS = "python main.py users add NAME --role admin"


def serve(
    studies: Annotated[str, typer.Option(help="Cohort folder.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    tls_certificate: Annotated[Path | None, typer.Option(help="Certificate chain (PEM): serve HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Allow HTTP on a network, where a proxy in front adds TLS.")
    ] = False,
) -> None:
    """Start the server; it replaces this process, so a signal reaches it directly."""
    if not studies.startswith(("http://", "https://")) and not Path(studies).is_dir():
        msg = "studies is not a folder; expected a cohort folder (the phantom command makes one)"
        raise BadCohortError(msg)
    Settings.from_conf({})
    settings = ServerSettings.from_conf({})
    logins = bool(UserFile(settings.users_file).users()) or settings.provider() is not None
    tls = _tls_options(tls_certificate, tls_key)
    if not is_loopback(host):
        _check_network(logins, encrypted=bool(tls) or plain_http)
    elif not logins:
        typer.echo(
            f"Notice: no login; everyone on this machine may do everything. To change that: {_ADD_USERS}", err=True
        )
    os.environ["PYTHONUNBUFFERED"] = "1"
    command = ["-m", "monailabel.main", "start_server", "--app", str(APP_FOLDER), "--studies", studies]
    command += ["--host", host, "--port", str(port), *tls]
    os.execv(sys.executable, [sys.executable, *command])  # noqa: S606


def _check_network(logins: bool, *, encrypted: bool) -> None:
    """Refuse what must not stand on a network.

    Raises:
        BadRequestError: When anyone could use it, or passwords would travel in the open.
    """
    if not logins:
        msg = f"the host is not this machine's own and there are no users; expected users first: {_ADD_USERS}"
        raise BadRequestError(msg)
    if not encrypted:
        msg = (
            "the host is not this machine's own and there is no TLS; expected --tls-certificate and --tls-key, "
            "or --plain-http where a reverse proxy adds TLS"
        )
        raise BadRequestError(msg)


def _tls_options(certificate: Path | None, key: Path | None) -> list[str]:
    if certificate is None and key is None:
        return []
    for name, path in (("--tls-certificate", certificate), ("--tls-key", key)):
        if path is None or not path.is_file():
            msg = f"{name} is {'missing' if path is None else 'not a file'}; expected both, each a PEM file"
            raise BadRequestError(msg)
    return ["--ssl_certfile", str(certificate), "--ssl_keyfile", str(key)]
