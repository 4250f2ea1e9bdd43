"""The admin's page, and what its forms ask for; each change has a reason, and comes from the page itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from lib.accounts.users import User
from lib.configs.upkeep import sync_soon
from lib.domain.errors import RenalError
from lib.registry.changes import Registry
from lib.web import admin_page
from lib.web.admission import check_own_page
from lib.web.door import Door, TheDoor, TheUser

_NOBODY = "an admin without a login"
Reason = Annotated[str, Form(max_length=500)]
Name = Annotated[str, Form(max_length=128)]
_DONE = {"promoted": "It serves now.", "rolled-back": "The version before serves again.", "started": "It was started."}


def page(door: TheDoor, user: TheUser, follow: bool = False, done: str = "") -> HTMLResponse:
    """Show everything that an admin looks after."""
    return _page(door, user, follow=follow, notice=_DONE.get(done, ""))


def promote(request: Request, door: TheDoor, user: TheUser, version: Name, reason: Reason) -> Response:
    """Let a version serve."""
    check_own_page(request.scope, strict=True)
    return _changed(door, user, lambda registry, who: registry.promote(version, who=who, reason=reason), "promoted")


def rollback(request: Request, door: TheDoor, user: TheUser, code: Name, reason: Reason) -> Response:
    """Let the version before serve again."""
    check_own_page(request.scope, strict=True)
    return _changed(door, user, lambda registry, who: registry.rollback(code, who=who, reason=reason), "rolled-back")


def _changed(door: Door, user: User, change: Callable[[Registry, str], object], done: str) -> Response:
    """Change what serves, and say on the page what came of it."""
    settings = door.app.settings
    try:
        change(settings.registry(), user.name or _NOBODY)
    except RenalError as error:
        return _page(door, user, problem=str(error))
    sync_soon(settings)
    return RedirectResponse(f"/admin?done={done}", 303)


def start_job(
    request: Request, door: TheDoor, user: TheUser, kind: Name, dicom: Name = "", centre: Name = ""
) -> Response:
    """Start an import, an onboarding or an evaluation."""
    check_own_page(request.scope, strict=True)
    try:
        door.jobs.start(kind, who=user.name or _NOBODY, dicom=dicom, centre=centre)
    except RenalError as error:
        return _page(door, user, problem=str(error))
    return RedirectResponse("/admin?follow=1&done=started", 303)


def _page(door: Door, user: User, *, follow: bool = False, notice: str = "", problem: str = "") -> HTMLResponse:
    return admin_page.render(
        store=door.app.datastore().store,
        settings=door.app.settings,
        jobs=door.jobs,
        user=user,
        follow=follow,
        notice=notice,
        problem=problem,
    )
