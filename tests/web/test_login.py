"""Logging in: a client's token, a browser's cookie, and what neither may be used for."""

from collections.abc import Callable

import pytest

from lib.web.admission import COOKIE
from tests.web.conftest import OWN, PASSWORD, Site


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(users=True)


def log_in(site: Site, name: str = "an-annotator", password: str = PASSWORD, next_path: str = "/", **headers: str):
    form = {"username": name, "password": password, "next": next_path}
    return site.client.post("/login", data=form, headers={"Origin": OWN, **headers})


def test_a_client_asks_logs_in_and_checks_its_token(site: Site) -> None:
    assert site.client.get("/auth/").json()["enabled"] is True
    token = site.token("an-annotator")
    assert site.client.get("/auth/token/valid", headers=token).json()["roles"] == ["annotator"]
    assert site.client.get("/info/", headers=token).status_code == 200
    assert site.client.get("/auth/token/valid").status_code == 401
    assert site.client.get("/info/").headers["WWW-Authenticate"] == "Bearer"


def test_without_users_a_client_is_told_that_there_is_no_login(make_site: Callable[..., Site]) -> None:
    site = make_site()
    assert site.client.get("/auth/").json()["enabled"] is False
    answer = site.client.post("/auth/token", data={"username": "a", "password": "b"})
    assert answer.json() == {"access_token": None, "token_type": None}


def test_a_browser_gets_a_cookie_that_scripts_cannot_read(site: Site) -> None:
    answer = log_in(site, next_path="/ohif/viewer?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ohif/viewer?x=1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert site.client.get("/info/").status_code == 200
    assert "an-annotator" in site.client.get("/").text


def test_over_tls_the_cookie_stays_there(site: Site) -> None:
    form = {"username": "an-annotator", "password": PASSWORD}
    answer = site.client.post("https://127.0.0.1/login", data=form, headers={"Origin": "https://127.0.0.1"})
    assert "Secure" in answer.headers["set-cookie"]


def test_a_person_is_shown_the_login_and_a_program_an_error(site: Site) -> None:
    shown = site.client.get("/ohif/viewer", headers={"Accept": "text/html,*/*"})
    assert (shown.status_code, shown.headers["location"]) == (303, "/login?next=/ohif/viewer")
    assert site.client.get("/ohif/viewer", headers={"Accept": "application/json"}).status_code == 401


def test_a_wrong_password_is_said_on_the_page(site: Site) -> None:
    answer = log_in(site, password="not the password")
    assert answer.status_code == 401
    assert "do not belong together" in answer.text
    assert "set-cookie" not in answer.headers


def test_a_login_never_leads_elsewhere(site: Site) -> None:
    for path in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb", ""):
        assert log_in(site, next_path=path).headers["location"] == "/", path


def test_what_a_client_sends_never_becomes_markup(site: Site) -> None:
    page = site.client.get("/login", params={"next": '/"><script>alert(1)</script>'})
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    again = log_in(site, name="<script>alert(1)</script>", next_path='/"><b>')
    assert "<script" not in again.text
    assert "<b>" not in again.text


ELSEWHERE: tuple[dict[str, str], ...] = (
    {},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": OWN},
)


def test_a_cookie_alone_changes_nothing_for_another_page(site: Site) -> None:
    log_in(site)
    for headers in ELSEWHERE:
        assert site.client.post("/activelearning/random", headers=headers).status_code == 403, headers
        assert site.client.post("/logout", headers=headers).status_code == 403, headers
        assert site.client.get("/info/", headers=headers).status_code == 200, headers


def test_a_cookie_from_the_own_page_changes_things(site: Site) -> None:
    log_in(site)
    for headers in ({"Origin": OWN}, {"Sec-Fetch-Site": "same-origin"}):
        assert site.client.post("/activelearning/random", headers=headers).status_code == 200


def test_another_page_cannot_log_a_browser_in(site: Site) -> None:
    assert log_in(site, Origin="https://evil.example").status_code == 403


def test_a_logout_ends_the_cookie_wherever_it_was_copied_to(site: Site) -> None:
    log_in(site)
    copied = site.client.cookies[COOKIE]
    site.client.post("/logout", headers={"Origin": OWN})
    assert COOKIE not in site.client.cookies
    site.client.cookies.set(COOKIE, copied)
    assert site.client.get("/info/").status_code == 401


def test_a_cookies_token_is_no_clients_token(site: Site) -> None:
    log_in(site)
    token = site.client.cookies[COOKIE]
    site.client.cookies.clear()
    assert site.client.get("/info/", headers={"Authorization": f"bearer {token}"}).status_code == 401


def test_guessing_is_slowed_down_for_that_name_from_there(site: Site) -> None:
    statuses = [log_in(site, password=f"wrong password {n}").status_code for n in range(6)]
    assert statuses == [401] * 5 + [429]
    answer = site.client.post("/auth/token", data={"username": "an-annotator", "password": PASSWORD})
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "60"
    assert site.token("an-admin")


def test_too_long_a_password_is_refused_before_it_is_hashed(site: Site) -> None:
    answer = site.client.post("/auth/token", data={"username": "an-admin", "password": "x" * 2000})
    assert answer.status_code == 422
    assert "xxx" not in answer.text


def test_a_label_has_the_name_of_who_sent_it_whatever_it_claims(site: Site) -> None:
    label = (site.studies / "labels" / "final" / "P1_CP.nii.gz").read_bytes()
    answer = site.client.put(
        "/datastore/label?image=P2_CP",
        files={"label": ("l.nii.gz", label)},
        data={"params": '{"author": "somebody", "user": "somebody", "reader": "somebody", "minutes": 2}'},
        headers=site.token("an-annotator"),
    )
    assert answer.status_code == 200, answer.text
    (version,) = site.door.app.datastore().store.versions("P2_CP")
    assert (version.author, version.minutes) == ("an-annotator", 2)
    known = site.client.get("/datastore/label/info?label=P2_CP&tag=final", headers=site.token("an-annotator")).json()
    assert "somebody" not in known.values()


def test_the_next_sample_is_noted_under_the_name_of_who_asked(site: Site) -> None:
    answer = site.client.post(
        "/activelearning/random", json={"client_id": "somebody"}, headers=site.token("an-annotator")
    )
    assert answer.json()["strategy"]["random"]["client_id"] == "an-annotator"
