"""``GET /train/`` shows the run of the task that is going, and no other's."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from monailabel.endpoints import train

from tests.web.conftest import Site


def ask(site: Site, monkeypatch: pytest.MonkeyPatch, **task: Any) -> dict[str, Any]:
    monkeypatch.setattr(train, "status", lambda *_: task)
    answer = site.client.get("/train/")
    assert answer.status_code == 200
    return dict(answer.json())


def at(moment: datetime) -> str:
    """As the framework writes it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/New_York"])
def _zone(request: pytest.FixtureRequest) -> Iterator[None]:
    """The process's time zone: the framework writes local time, the records of runs UTC."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_zone")
def test_a_task_that_has_noted_no_run_yet_does_not_show_the_one_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site.door.app.settings.runs().under_way("CP", "CP-before", 3):
        pass
    after = datetime.now() + timedelta(seconds=2)
    assert "run" not in ask(site, monkeypatch, status="RUNNING", start_ts=at(after))
    shown = ask(site, monkeypatch, status="RUNNING", start_ts=at(after - timedelta(seconds=4)))
    assert shown["run"]["version"] == "CP-before"
    ended = ask(site, monkeypatch, status="ERROR", start_ts=at(after), end_ts=at(after))
    assert ended["run"]["version"] == "CP-before"
