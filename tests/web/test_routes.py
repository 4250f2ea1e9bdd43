"""The table of routes is the truth: nothing is served beside it, and each row lets in whom it names."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from monailabel.app import app as framework
from monailabel.endpoints import (
    activelearning,
    batch_infer,
    datastore,
    infer,
    info,
    login,
    logs,
    model,
    ohif,
    proxy,
    scoring,
    train,
    wsi_infer,
)
from monailabel.endpoints import session as sessions
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from lib.accounts.roles import Role
from lib.web.app import build
from lib.web.door import Guard
from lib.web.routes import ROUTES
from lib.web.table import Row, Who
from tests.web.conftest import OWN, Site

LET_IN = 299
ROUTERS = (
    activelearning,
    batch_infer,
    datastore,
    infer,
    info,
    login,
    logs,
    model,
    ohif,
    proxy,
    scoring,
    train,
    wsi_infer,
    sessions,
)
IDS = [f"{row.method} {row.path}" for row in ROUTES]


async def let_in(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("", LET_IN)(scope, receive, send)


@pytest.fixture(params=[False, True], ids=["without users", "with users"])
def guarded(request: pytest.FixtureRequest, make_site: Callable[..., Site]) -> Site:
    """The application with its guards, and nothing behind them."""
    site = make_site(users=request.param)
    for route in site.client.app.router.routes:
        if route.path != "/auth/token":
            route.app._app = let_in
    return site


def served(routes: list, prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in routes:
        if hasattr(route, "path"):
            for method in getattr(route, "methods", None) or {"GET"}:
                yield method, prefix + route.path


def test_every_route_of_the_application_is_a_row_behind_its_guard(site: Site) -> None:
    app = build(site.door)
    assert sorted(served(app.router.routes)) == sorted((row.method, row.path) for row in ROUTES)
    assert all(isinstance(route.app, Guard) for route in app.router.routes)


def test_no_row_is_there_twice() -> None:
    assert len(set(IDS)) == len(ROUTES)


def test_every_route_of_the_framework_has_a_row() -> None:
    theirs = set(served(framework.router.routes))
    for module in ROUTERS:
        theirs |= set(served(module.router.routes))
    ours = {(row.method, row.path) for row in ROUTES}
    missing = {pair for pair in theirs - ours if not (pair[0] == "HEAD" and ("GET", pair[1]) in ours)}
    assert len(theirs) > 40  # the walk found them
    assert missing == set()


def test_a_closed_row_says_why() -> None:
    assert all(row.why for row in ROUTES if row.who is Who.CLOSED)
    assert all(row.endpoint for row in ROUTES if row.who is not Who.CLOSED)


def ask(site: Site, row: Row, headers: dict[str, str]) -> int:
    path = re.sub(r"{[^}]*}", "something", row.path)
    return site.client.request(row.method, path, headers=headers).status_code


def test_each_role_gets_what_its_row_says(guarded: Site) -> None:
    login_needed = guarded.door.admission.login_required
    tokens = {role: guarded.token(f"an-{role.title}") if login_needed else {} for role in Role}
    rows = [row for row in ROUTES if row.path != "/auth/token"]
    for role, headers in tokens.items():
        acting = role if login_needed else Role.ADMIN
        seen = {f"{row.method} {row.path}": ask(guarded, row, headers) for row in rows}
        assert seen == {f"{row.method} {row.path}": expected(row, acting) for row in rows}, role


def expected(row: Row, role: Role | None) -> int:
    if row.who is Who.CLOSED:
        return 403
    if row.who is Who.PUBLIC:
        return LET_IN
    if role is None:
        return 401
    least = {Who.ANNOTATOR: 1, Who.REVIEWER: 2, Who.ADMIN: 3, Who.COLLECTOR: 3}[row.who]
    return LET_IN if role >= least else 403


def test_nobody_gets_only_what_is_public(guarded: Site) -> None:
    if not guarded.door.admission.login_required:
        pytest.skip("everyone on this machine is an admin")
    rows = [row for row in ROUTES if row.path != "/auth/token"]
    assert [ask(guarded, row, {}) for row in rows] == [expected(row, None) for row in rows]


OTHERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("192.168.1.7", {}),
    ("127.0.0.1", {"host": "renal.hospital.example"}),
    ("127.0.0.1", {"host": "127.0.0.1.evil.example:8000"}),
    ("127.0.0.1", {"host": "[::1"}),
    ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}),
    ("127.0.0.1", {"x-real-ip": "10.0.0.1"}),
)


def test_without_users_another_machine_gets_only_what_is_public(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for address, headers in OTHERS:
        monkeypatch.setattr(site.client._transport, "client", (address, 5))
        answer = site.client.get("/info/", headers=headers)
        assert answer.status_code == 403, (address, headers, answer.text)
        assert "users add" in answer.json()["detail"]
        assert site.client.get("/healthz", headers=headers).status_code == 200


def test_a_collector_needs_the_token_of_the_settings(make_site: Callable[..., Site]) -> None:
    site = make_site(users=True, metrics_token="s3cret-of-prometheus")
    assert site.client.get("/metrics").status_code == 401
    assert site.client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    found = site.client.get("/metrics", headers={"Authorization": "Bearer s3cret-of-prometheus"})
    assert found.status_code == 200
    assert "renal_infer_jobs 0.0" in found.text
    assert site.client.get("/info/", headers={"Authorization": "Bearer s3cret-of-prometheus"}).status_code == 401


def test_another_origin_is_never_told_that_it_may(site: Site) -> None:
    for method, path in (("GET", "/info/"), ("OPTIONS", "/infer/segment_cp")):
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        answer = site.client.request(method, path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_page_of_another_origin_changes_nothing_on_loopback(site: Site) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        answer = site.client.post("/activelearning/random", headers=headers)
        assert answer.status_code == 403, headers
    assert site.client.post("/activelearning/random", headers={"Origin": OWN}).status_code == 200


def test_an_errors_answer_has_one_shape_and_the_requests_id(site: Site) -> None:
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("GET", "/reload", 405),
        ("POST", "/reload", 403),
        ("POST", "/infer/nothing?image=P1_CP", 404),
        ("GET", "/logs/?lines=many", 422),
        ("POST", "/infer/segment_cp", 400),
    ):
        answer = site.client.request(method, path, headers={"X-Request-ID": "my-request-1"})
        assert answer.status_code == status, answer.text
        assert set(answer.json()) == {"detail", "error", "request_id"}
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"] == "my-request-1"


def test_an_error_that_nothing_expected_shows_no_trace(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(site.door.app, "info", lambda: 1 / 0)
    answer = site.client.get("/info/", headers={"X-Request-ID": "<script>"})
    assert answer.status_code == 500
    assert answer.json()["error"] == "InternalError"
    assert "division" not in answer.text
    assert "division" in caplog.text
    assert "script" not in answer.headers["X-Request-ID"]


def test_a_request_is_logged_by_its_pattern(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        site.client.get("/datastore/image/info?image=P1_CP")
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("lib."))
    assert "GET /datastore/image/info 200" in ours
    assert "P1_CP" not in ours


def test_the_document_says_what_the_table_says() -> None:
    document = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
    lines = [
        f"| `{row.method} {row.path}` | {f'nobody: {row.why}' if row.who is Who.CLOSED else row.who.value} |"
        for row in ROUTES
    ]
    assert [line for line in lines if line not in document] == []
    assert document.count("\n| `") >= len(lines)
