"""Settings of the PACS: what is understood, what is refused, and that secrets do not show."""

import base64

import pytest

from lib.configs.archive import ArchiveSettings
from lib.domain.errors import BadRequestError

URL = "http://pacs.example:8042/dicom-web"


def test_a_password_or_a_token_becomes_a_header_that_does_not_show() -> None:
    named = ArchiveSettings.from_conf({"pacs_user": "reader", "pacs_password": "pass:word"})
    kind, packed = named.address(URL).headers["Authorization"].split()
    assert (kind, base64.b64decode(packed)) == ("Basic", b"reader:pass:word")
    token = ArchiveSettings.from_conf({"pacs_token": "abc.def"})
    assert token.address(URL).headers == {"Authorization": "Bearer abc.def"}
    assert "pass" not in repr(named)
    assert "abc" not in repr(token.address(URL))
    assert ArchiveSettings.from_conf({}).address(URL).headers == {}


def test_what_monai_label_calls_it_works_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_USERNAME", "reader")
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_PASSWORD", "word")
    monkeypatch.setenv("MONAI_LABEL_QIDO_PREFIX", "/qido-rs/")
    found = ArchiveSettings.from_conf({})
    assert found.address(URL).headers["Authorization"].startswith("Basic ")
    assert found.address(URL).search == "qido-rs"


def test_each_address_has_a_folder_of_its_own() -> None:
    settings = ArchiveSettings.from_conf({})
    assert settings.folder_of(URL) == settings.folder_of(f"{URL}/")
    assert settings.folder_of(URL) != settings.folder_of(f"{URL}2")
    assert str(ArchiveSettings.from_conf({"pacs_folder": "/srv/kept"}).folder_of(URL)) == "/srv/kept"


def test_conditions_are_dicom_keywords() -> None:
    found = ArchiveSettings.from_conf({"pacs_query": "StudyDate=20260101-&PatientSex=F"})
    assert found.address(URL).query == {"StudyDate": "20260101-", "PatientSex": "F"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pacs_every_s", "soon"),
        ("pacs_every_s", "0"),
        ("pacs_settle_s", "-1"),
        ("pacs_store", "maybe"),
        ("pacs_query", "../x=1"),
        ("pacs_query", "yesterday"),
        ("pacs_timeout_s", "0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(BadRequestError, match=name):
        ArchiveSettings.from_conf({name: value})
