"""What a PACS answers, and how each of its failures is named; the answers are made up here."""

import json
import logging
from collections.abc import Callable
from io import BytesIO

import pytest
import requests
from pydicom.dataset import Dataset
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from lib.domain.errors import ArchiveError, ArchiveTimeoutError
from lib.pacs.archive import Address, Archive

UID = "1.2.840.113619.2.1"
Answer = Callable[[requests.PreparedRequest], requests.Response]


class MadeUp(BaseAdapter):
    """Answers in the place of a network, and keeps what was asked."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer, self.asked, self.waits = answer, [], []

    def send(self, request, timeout=None, **_):
        self.asked.append(request)
        self.waits.append(timeout)
        response = self.answer(request)
        response.request, response.url = request, request.url
        return response

    def close(self) -> None:
        pass


def answered(status: int, content: bytes = b"", kind: str = "application/dicom+json", **headers: str):
    response = requests.Response()
    response.status_code = status
    response.headers.update({"Content-Type": kind, **headers})
    response.raw = HTTPResponse(BytesIO(content), preload_content=False)
    return response


def archive_that(answer: Answer, **address: object) -> tuple[Archive, MadeUp]:
    archive, adapter = Archive(Address(url="http://pacs.example/dicom-web", **address)), MadeUp(answer)
    archive._session.mount("http://", adapter)
    return archive, adapter


def listed(*numbers: int) -> bytes:
    rows = [{"0020000D": {"Value": ["1.2"]}, "0020000E": {"Value": [f"1.2.{n}"]}} for n in numbers]
    return json.dumps(rows).encode()


def test_every_page_of_a_long_list_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.pacs.archive._PAGE", 2)
    pages = iter([listed(1, 2), listed(3, 4), listed(5)])
    archive, asked = archive_that(lambda _: answered(200, next(pages)), query={"StudyDate": "20260101-"})
    assert [one.series_uid for one in archive.series("MR")] == [f"1.2.{n}" for n in range(1, 6)]
    assert all(f"offset={n}" in one.url for n, one in zip((0, 2, 4), asked.asked, strict=True))
    assert all("Modality=MR" in one.url and "StudyDate=20260101-" in one.url for one in asked.asked)


def test_a_pacs_that_knows_no_offset_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.pacs.archive._PAGE", 2)
    archive, asked = archive_that(lambda _: answered(200, listed(1, 2)))
    assert len(archive.series("MR")) == 2
    assert len(asked.asked) == 2


def test_nothing_found_is_nothing() -> None:
    archive, _ = archive_that(lambda _: answered(204))
    assert archive.series("MR") == []


def test_the_login_goes_with_every_request_and_to_no_other_place(caplog: pytest.LogCaptureFixture) -> None:
    archive, asked = archive_that(
        lambda _: answered(302, Location="http://elsewhere.example/"), headers={"Authorization": "Bearer secret"}
    )
    with caplog.at_level(logging.DEBUG), pytest.raises(ArchiveError, match="TooManyRedirects") as error:
        archive.series("MR")
    assert [one.headers["Authorization"] for one in asked.asked] == ["Bearer secret"]
    assert "secret" not in caplog.text + repr(error.value) + repr(Address(url="x", headers={"Authorization": "secret"}))


def raised(error: Exception) -> Answer:
    def answer(_: requests.PreparedRequest) -> requests.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (raised(requests.ConnectTimeout("pacs.example 1.2.3")), ArchiveTimeoutError, "does not answer in time"),
        (raised(requests.ReadTimeout("pacs.example 1.2.3")), ArchiveTimeoutError, "does not answer in time"),
        (raised(requests.ConnectionError("pacs.example 1.2.3")), ArchiveError, "cannot be reached"),
        (lambda _: answered(500), ArchiveError, "answers 500"),
        (lambda _: answered(401), ArchiveError, "answers 401"),
        (lambda _: answered(503), ArchiveError, "answers 503"),
        (lambda _: answered(200, b"<html>"), ArchiveError, "JSONDecodeError"),
        (lambda _: answered(200, b'["x"]'), ArchiveError, "cannot be read"),
        (lambda _: answered(200, b'[{"00201209": {"Value": ["many"]}}]'), ArchiveError, "cannot be read"),
    ],
)
def test_each_failure_is_named_without_address_or_uid(answer: Answer, kind: type, reason: str) -> None:
    archive, asked = archive_that(answer, timeout_s=7)
    with pytest.raises(kind, match=reason) as error:
        archive.series("MR")
    assert type(error.value) is kind
    assert "example" not in str(error.value)
    assert "1.2.3" not in str(error.value)
    assert asked.waits == [(5.0, 7)]  # and it was tried once: the next round is soon enough


def multipart(*parts: bytes) -> requests.Response:
    body = b"".join(b"\r\n--x\r\nContent-Type: application/dicom\r\n\r\n" + part for part in parts) + b"\r\n--x--"
    return answered(200, body, 'multipart/related; type="application/dicom"; boundary=x')


def test_images_that_are_no_dicom_are_named() -> None:
    archive, _ = archive_that(lambda _: multipart(b"not DICOM at all"))
    with pytest.raises(ArchiveError, match="cannot be read"):
        list(archive.images(UID, UID))


def test_pixels_that_a_pacs_keeps_apart_are_left_out_of_headers() -> None:
    header = {"00080018": {"vr": "UI", "Value": [UID]}, "7FE00010": {"vr": "OW", "BulkDataURI": "http://x.example/1"}}
    archive, _ = archive_that(lambda _: answered(200, json.dumps([header]).encode()))
    (found,) = archive.headers(UID, UID)
    assert found.SOPInstanceUID == UID
    assert "PixelData" not in found


def test_a_uid_that_is_none_never_becomes_a_path() -> None:
    archive, asked = archive_that(lambda _: answered(200, b"[]"))
    with pytest.raises(ArchiveError):
        archive.headers("1.2/../../patients", UID)
    assert asked.asked == []


def test_an_object_that_the_pacs_refuses_is_not_taken_for_stored() -> None:
    failed = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA700]}}]}}
    archive, _ = archive_that(lambda _: answered(200, json.dumps(failed).encode()))
    stored = Dataset()
    stored.is_little_endian, stored.is_implicit_VR = True, True
    with pytest.raises(ArchiveError, match="did not take 1 of 1 objects"):
        archive.store([stored])
