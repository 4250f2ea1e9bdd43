"""Our own ASGI application around MONAI Label's app: built from the table of routes, put in the framework's place."""

from __future__ import annotations

import atexit
import logging
import signal
import tempfile
from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from monailabel.interfaces.app import MONAILabelApp

from lib.accounts.tokens import Tokens
from lib.accounts.users import UserFile
from lib.configs.jobs import Jobs
from lib.configs.server import ServerSettings
from lib.web import errors
from lib.web.admission import Admission
from lib.web.door import Door, Guard
from lib.web.lanes import Lane
from lib.web.routes import ROUTES
from lib.web.sessions import Sessions
from lib.web.table import Lanes, Row
from lib.web.tracing import Tracing, tag_logs
from lib.web.uploads import ProcessFolder

logger = logging.getLogger(__name__)

_LOGINS, _LOGIN_QUEUE = 2, 20
_EXPORTS, _EXPORT_QUEUE = 1, 2


def open_door(app: MONAILabelApp, settings: ServerSettings) -> Door:
    """Make the parts of a server; ``close`` ends its threads."""
    users, provider = UserFile(settings.users_file), settings.provider()
    if provider:
        users.make_key()
    tokens = Tokens(users, settings.token_hours, issuer=settings.oidc_issuer)
    door = Door(
        app=app,
        settings=settings,
        admission=Admission(users, tokens, settings.metrics_token, provider),
        lanes={
            Lanes.INFER: Lane("infer", workers=settings.infer_workers, queue=settings.infer_queue),
            Lanes.EXPORT: Lane("export", workers=_EXPORTS, queue=_EXPORT_QUEUE),
            Lanes.LOGIN: Lane("login", workers=_LOGINS, queue=_LOGIN_QUEUE),
        },
        sessions=Sessions(minutes=settings.session_minutes),
        jobs=Jobs(app.settings, app.datastore().store.folder.root, settings.inbox),
    )
    for name, lane in door.lanes.items():
        door.metrics.watch(f"renal_{name}_jobs", f"Jobs of the lane {name} that run or wait.", partial(_jobs, lane))
    return door


def build(door: Door) -> FastAPI:
    """Make the application: every row of the table behind its guard, and nothing else."""
    app = FastAPI(
        title=door.app.name or "renal-loop",
        version=door.app.version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.door = door
    errors.install(app)
    app.add_middleware(Tracing, metrics=door.metrics)
    for row in ROUTES:
        route = _route(row)
        route.app = Guard(route.app, row, door)
        app.router.routes.append(route)
    return app


def install(app: MONAILabelApp, conf: Mapping[str, Any]) -> None:
    """Let the server that is starting answer with our application, whichever command started it.

    MONAI Label's application exists before ours can; from here on it hands every request over.
    """
    from monailabel.app import app as framework

    folder = ProcessFolder()
    atexit.register(folder.remove)
    tempfile.tempdir = str(folder.path)
    tag_logs()
    door = open_door(app, ServerSettings.from_conf(conf))
    atexit.register(door.close)
    if not door.admission.login_required:
        logger.warning("no users: anyone on this machine, and nobody else, may do everything (main.py users add)")
    framework.middleware_stack = build(door)
    _clean_up_when_terminated()


def _clean_up_when_terminated() -> None:
    """Let SIGTERM end the server as SIGINT does.

    uvicorn finishes its requests and then raises the signal that it got once more: SIGTERM would end Python before it
    removes the temporary files.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if callable(handler):
        signal.signal(signal.SIGTERM, lambda _, frame: handler(signal.SIGINT, frame))


def _route(row: Row) -> APIRoute:
    return APIRoute(
        row.path,
        row.endpoint or _never,
        methods=[row.method],
        include_in_schema=row.in_schema,
        name=f"{row.method} {row.path}",
        summary=(row.endpoint.__doc__ or "").strip().splitlines()[0] if row.endpoint else None,
    )


def _never() -> None:
    """The guard of a closed route answers before this."""


def _jobs(lane: Lane) -> float:
    return lane.jobs
