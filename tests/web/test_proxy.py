"""The way to the PACS: what is asked arrives, nothing else does, and its failures have names."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from lib.configs.archive import ArchiveSettings
from lib.web.endpoints import proxy
from tests.web.conftest import Site

UID = "1.2.840.113619.2.1"


@pytest.fixture
def asked() -> list[httpx.Request]:
    return []


@pytest.fixture
def answering(
    site: Site, asked: list[httpx.Request], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[httpx.Request], httpx.Response]], None]:
    """Put a PACS behind the application: ``answering(lambda request: httpx.Response(200))``."""
    monkeypatch.setattr(site.door.app, "studies", "http://pacs.example:8042/dicom-web/")

    def answer(handler: Callable[[httpx.Request], httpx.Response]) -> None:
        def seen(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return handler(request)

        monkeypatch.setattr(
            proxy,
            "_client",
            lambda timeout_s: httpx.AsyncClient(transport=httpx.MockTransport(seen), timeout=timeout_s),
        )

    return answer


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


def found(_: httpx.Request) -> httpx.Response:
    headers = {"content-type": "application/dicom+json", "set-cookie": "pacs=1", "server": "Orthanc"}
    return httpx.Response(200, content=pieces(b'[{"a": 1}]'), headers=headers)


def test_query_and_accept_arrive_and_the_login_does_not(site: Site, answering, asked: list) -> None:
    answering(found)
    answer = site.client.get(
        "/proxy/dicom/qido/studies?PatientID=P%201&includefield=all&includefield=00080020",
        headers={"Accept": "application/dicom+json", "Authorization": "bearer ours", "Cookie": "renal_session=ours"},
    )
    assert answer.json() == [{"a": 1}]
    (request,) = asked
    assert str(request.url) == (
        "http://pacs.example:8042/dicom-web/studies?PatientID=P%201&includefield=all&includefield=00080020"
    )
    assert request.headers["accept"] == "application/dicom+json"
    assert "authorization" not in request.headers
    assert "cookie" not in request.headers
    assert "set-cookie" not in answer.headers


def test_the_pacs_packs_only_what_the_viewer_can_unpack(site: Site, answering, asked: list) -> None:
    answering(found)
    for encoding in ("gzip, br", "identity"):
        site.client.get("/proxy/dicom/qido/studies", headers={"Accept-Encoding": encoding})
        assert asked[-1].headers["accept-encoding"] == encoding
    site.client.headers.pop("accept-encoding", None)
    site.client.get("/proxy/dicom/qido/studies")
    assert asked[-1].headers["accept-encoding"] == "identity"


def test_the_site_s_own_login_at_the_pacs_goes_with_it(site: Site, answering, asked: list, monkeypatch) -> None:
    answering(found)
    monkeypatch.setattr(site.door.app, "archive", ArchiveSettings.from_conf({"pacs_token": "of the site"}))
    site.client.get("/proxy/dicom/studies", headers={"Authorization": "bearer ours"})
    assert asked[-1].headers["authorization"] == "Bearer of the site"


PREFIXES = ("wado/", "qido/", "")
PASSING = (
    "studies",
    f"studies/{UID}",
    f"studies/{UID}/series/{UID}/metadata",
    f"studies/{UID}/series/{UID}/instances/{UID}/frames/1,2",
    f"studies/{UID}/series/{UID}/instances/{UID}/bulkdata/00420011",
)
REFUSED = (
    "../patients",
    "%2e%2e/system",
    "studies/../../system",
    f"studies/{UID}/%2e%2e/%2e%2e/%2e%2e/tools/shutdown",
    "studies/1.2/series/../../../modalities",
    "patients",
    "studies//",
    "studies%3Fx",
    "http://elsewhere.example/studies",
    f"studies/{UID}/series/{UID}/instances/{UID}/frames/1%23x",
    "studies%0Ax",
)


def test_the_paths_of_dicomweb_pass(site: Site, answering) -> None:
    answering(found)
    for prefix in PREFIXES:
        for path in PASSING:
            assert site.client.get(f"/proxy/dicom/{prefix}{path}").status_code == 200


def test_no_other_path_reaches_the_pacs(site: Site, answering, asked: list) -> None:
    answering(found)
    for prefix in PREFIXES:
        for path in REFUSED:
            answer = site.client.get(f"/proxy/dicom/{prefix}{path}")
            assert answer.status_code in (403, 404), (prefix, path, answer.text)
    assert asked == []


def test_nothing_is_written_through_it(site: Site, answering, asked: list) -> None:
    answering(found)
    for path in ("studies", "wado/studies", "qido/studies", "stow/studies"):
        assert site.client.post(f"/proxy/dicom/{path}", content=b"x").status_code == 403
    assert site.client.delete("/proxy/dicom/studies/1.2").status_code == 405
    assert asked == []


def fail_with(error: type[httpx.HTTPError]) -> Callable[[httpx.Request], httpx.Response]:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error("secret address", request=request)

    return handler


FAILURES = (
    (fail_with(httpx.ReadTimeout), 504, "does not answer within 30 s"),
    (fail_with(httpx.ConnectTimeout), 504, "does not answer"),
    (fail_with(httpx.ConnectError), 502, "cannot be reached (ConnectError)"),
    (lambda _: httpx.Response(500, text="java.lang.secret"), 502, "answers 500"),
    (lambda _: httpx.Response(302, headers={"location": "http://evil.example"}), 502, "answers 302"),
)


def test_a_pacs_that_fails_is_named_and_the_server_goes_on(site: Site, answering) -> None:
    for handler, status, said in FAILURES:
        answering(handler)
        answer = site.client.get("/proxy/dicom/studies")
        assert answer.status_code == status
        assert said in answer.json()["detail"]
        assert "secret" not in answer.text
    answering(found)
    assert site.client.get("/proxy/dicom/studies").status_code == 200


def test_a_cohort_folder_has_no_pacs(site: Site) -> None:
    assert site.client.get("/proxy/dicom/studies").status_code == 404


def test_what_the_pacs_does_not_have_is_not_there(site: Site, answering) -> None:
    answering(lambda _: httpx.Response(404, content=pieces(b"{}")))
    assert site.client.get(f"/proxy/dicom/studies/{UID}").status_code == 404
