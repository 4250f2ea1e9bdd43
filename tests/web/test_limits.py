"""Under load: what is asked goes on, what is too much is refused, and nothing is left behind."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from lib.domain.errors import BusyError
from lib.web.lanes import Lane
from tests.web.conftest import OWN, Site

INFER = "/infer/segment_cp?output=json"


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Closed: inference waits before it. Opened at the latest when the test ends."""
    event = threading.Event()
    yield event
    event.set()


def slow_app(site: Site, gate: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    infer = site.door.app.infer

    def wait(request: dict[str, Any]) -> dict[str, Any]:
        assert gate.wait(60)
        return infer(request)

    monkeypatch.setattr(site.door.app, "infer", wait)


def client_of(site: Site) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(site.client.app, client=("127.0.0.1", 50000))
    return httpx.AsyncClient(transport=transport, base_url=OWN, timeout=60)


def image(site: Site) -> dict[str, tuple[str, bytes]]:
    return {"file": ("P1_CP.nii.gz", (site.studies / "P1_CP.nii.gz").read_bytes())}


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


def test_other_requests_go_on_and_a_full_queue_says_when_to_come_back(
    make_site: Callable[..., Site], gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(infer_workers=1, infer_queue=1)
    slow_app(site, gate, monkeypatch)
    lane = site.door.lanes["infer"]

    async def load() -> None:
        async with client_of(site) as client:
            waiting = [asyncio.create_task(client.post(INFER, files=image(site))) for _ in range(2)]
            await until(lambda: lane.jobs == 2)
            assert (await client.get("/info/")).status_code == 200  # the loop is free, and so are other threads
            refused = await client.post(INFER, files=image(site))
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) >= 1
            assert (await client.get("/readyz")).status_code == 503
            gate.set()
            assert [(await answer).status_code for answer in waiting] == [200, 200]
            await until(lambda: lane.jobs == 0)
            assert (await client.get("/readyz")).status_code == 200

    asyncio.run(load())
    assert site.left_behind() == []


def test_a_request_that_takes_too_long_is_answered_and_its_files_go_when_it_ends(
    make_site: Callable[..., Site], gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(infer_workers=1, infer_queue=3, timeout_s=2.5)
    slow_app(site, gate, monkeypatch)
    lane = site.door.lanes["infer"]

    async def load() -> None:
        async with client_of(site) as client:
            first, second = await asyncio.gather(*[client.post(INFER, files=image(site)) for _ in range(2)])
            assert [first.status_code, second.status_code] == [504, 504]
            assert "no answer within 2.5 s" in first.json()["detail"]
            await until(lambda: lane.jobs == 1)  # what waited is dropped; what runs still counts
            gate.set()
            await until(lambda: lane.jobs == 0)

    asyncio.run(load())
    assert site.left_behind() == []


def test_too_large_a_body_is_refused_with_and_without_its_length(make_site: Callable[..., Site]) -> None:
    site = make_site(upload_mb=0.01)
    body = b"x" * 20_000
    for content in (body, iter([body[:10_000], body[10_000:]])):
        answer = site.client.post(INFER, content=content, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert answer.status_code == 413, answer.text
        assert set(answer.json()) == {"detail", "error", "request_id"}
    assert site.left_behind() == []


def test_too_many_voxels_are_refused_by_the_header(make_site: Callable[..., Site]) -> None:
    site = make_site(upload_megavoxels=0.01)
    answer = site.client.post(INFER, files=image(site))
    assert answer.status_code == 413
    assert "30720 voxels; expected at most 10000" in answer.json()["detail"]
    assert site.left_behind() == []


def test_a_lane_lets_go_of_a_job_that_it_refuses() -> None:
    lane, gate, released = Lane("test", workers=1, queue=0), threading.Event(), []

    async def load() -> None:
        running = asyncio.create_task(lane.run(gate.wait))
        await until(lambda: lane.jobs == 1)
        with pytest.raises(BusyError, match="1 requests run or wait; expected at most 1"):
            await lane.run(gate.wait, release=lambda: released.append(True))
        gate.set()
        assert await running

    asyncio.run(load())
    lane.close()
    assert released == [True]


def test_a_jobs_error_is_the_callers() -> None:
    lane = Lane("test", workers=1, queue=0)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(lane.run(lambda: 1 / 0))
    lane.close()
    assert lane.jobs == 0
