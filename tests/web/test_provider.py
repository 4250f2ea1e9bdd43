"""Logging in by OpenID Connect, with a real provider on loopback."""

import warnings
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from lib.accounts.provider import Provider, ProviderSettings
from lib.accounts.roles import Role
from lib.domain.errors import BadRequestError, NotLoggedInError, ProviderError
from lib.web.admission import COOKIE
from tests.web.conftest import OWN, PASSWORD, Site

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    oidc_provider_mock = pytest.importorskip("oidc_provider_mock")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PEOPLE = {
    "1": {"preferred_username": "rosa", "roles": ["renal-loop-annotator", "renal-loop-reviewer", "staff"]},
    "2": {"preferred_username": "nobody", "roles": ["staff"]},
    "3": {"preferred_username": "an-admin", "roles": ["renal-loop-admin"]},
    "4": {"preferred_username": "<b>x</b>", "roles": ["renal-loop-admin"]},
    "5": {"preferred_username": "kim@site.example", "groups": {"mri": "renal-loop-annotator other"}},
}


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    users = [oidc_provider_mock.User(sub=sub, claims=claims) for sub, claims in PEOPLE.items()]
    with oidc_provider_mock.run_server_in_thread(user_claims=users, require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def site(make_site: Callable[..., Site], issuer: str) -> Site:
    return make_site(oidc_issuer=issuer, oidc_client="renal-loop", oidc_secret="x")


def chosen(address: str, person: str | None) -> str:
    """Log in at the provider, or refuse; the address that it sends the browser to."""
    form = {"sub": person} if person else {"action": "deny"}
    answer = requests.post(address, form, allow_redirects=False, timeout=10)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def log_in(site: Site, person: str | None, next_path: str = "/"):
    begun = site.client.get("/login/oidc", params={"next": next_path})
    assert begun.status_code == 303, begun.text
    return site.client.get(chosen(begun.headers["location"], person))


def test_a_person_logs_in_elsewhere_and_has_the_role_that_they_have_there(site: Site) -> None:
    answer = log_in(site, "1", next_path="/ohif/viewer?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ohif/viewer?x=1")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert site.client.get("/auth/token/valid").json() == {
        "username": "rosa",
        "email": None,
        "name": "rosa",
        "roles": ["reviewer"],
    }
    assert site.client.get("/quality/").status_code == 200
    assert site.client.get("/logs/").status_code == 403


def test_without_local_users_nobody_gets_in_but_through_the_provider(site: Site) -> None:
    assert site.client.get("/info/").status_code == 401
    page = site.client.get("/login").text
    assert "/login/oidc" in page
    assert "password" not in page
    refused = site.client.post("/auth/token", data={"username": "rosa", "password": PASSWORD})
    assert refused.status_code == 401


def test_the_provider_is_asked_with_a_challenge_a_state_and_a_nonce(site: Site) -> None:
    asked = parse_qs(urlsplit(site.client.get("/login/oidc").headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [f"{OWN}/login/oidc/callback"]
    assert min(len(asked[name][0]) for name in ("state", "nonce", "code_challenge")) >= 43


@pytest.mark.parametrize(
    ("person", "reason"),
    [("2", "gives you no role"), ("4", "names nobody"), (None, "did not let you in")],
    ids=["no role", "no name", "refused there"],
)
def test_who_has_no_place_here_is_told_why(site: Site, person: str | None, reason: str) -> None:
    answer = log_in(site, person)
    assert answer.status_code == 401
    assert reason in answer.text.replace("&#39;", "'")
    assert "<b>" not in answer.text
    assert COOKIE not in site.client.cookies


def test_two_people_never_share_a_name(make_site: Callable[..., Site], issuer: str) -> None:
    site = make_site(users=True, oidc_issuer=issuer, oidc_client="renal-loop", oidc_secret="x")
    answer = log_in(site, "3")
    assert (answer.status_code, COOKIE in site.client.cookies) == (401, False)
    assert site.token("an-admin")


def test_an_answer_to_another_browsers_login_opens_nothing(site: Site) -> None:
    begun = site.client.get("/login/oidc")
    answer = chosen(begun.headers["location"], "1")
    site.client.cookies.clear()
    assert site.client.get(answer).status_code == 401
    other = site.client.get("/login/oidc")
    assert other.status_code == 303
    assert site.client.get(answer).status_code == 401
    assert COOKIE not in site.client.cookies


def test_an_answer_counts_once(site: Site) -> None:
    begun = site.client.get("/login/oidc")
    answer, kept = chosen(begun.headers["location"], "1"), dict(site.client.cookies)
    assert site.client.get(answer).status_code == 303
    for name, value in kept.items():
        site.client.cookies.set(name, value)
    assert site.client.get(answer).status_code == 401


def test_a_login_never_leads_elsewhere(site: Site) -> None:
    for path in ("//evil.example", "https://evil.example", "/\\evil.example"):
        assert log_in(site, "1", next_path=path).headers["location"] == "/", path


def test_a_login_ends_when_the_provider_is_another(make_site: Callable[..., Site], issuer: str) -> None:
    site = make_site(users=True, oidc_issuer=issuer, oidc_client="renal-loop", oidc_secret="x")
    log_in(site, "1")
    assert site.client.get("/info/").status_code == 200
    site.door.admission.tokens._issuer = "https://another.example"
    assert site.client.get("/info/").status_code == 401


def test_a_server_without_a_provider_says_so(make_site: Callable[..., Site]) -> None:
    site = make_site(users=True)
    assert site.client.get("/login/oidc").status_code == 404
    assert "/login/oidc" not in site.client.get("/login").text


def test_a_provider_that_is_down_is_said_on_the_page(make_site: Callable[..., Site]) -> None:
    site = make_site(oidc_issuer="http://127.0.0.1:9", oidc_client="renal-loop", oidc_secret="x")
    answer = site.client.get("/login/oidc")
    assert answer.status_code == 502
    assert "does not answer" in answer.text


def make_provider(issuer: str, **settings: str) -> Provider:
    return Provider(ProviderSettings(**{"issuer": issuer, "client": "renal-loop", "secret": "x", **settings}))


def answered(provider: Provider, person: str) -> tuple[dict[str, str], str]:
    """What the provider's answer says, and the state of the attempt."""
    address, state = provider.begin(f"{OWN}/login/oidc/callback", "/")
    query = parse_qs(urlsplit(chosen(address, person)).query)
    return {name: values[0] for name, values in query.items()}, state


def test_groups_may_lie_deeper_and_names_may_be_addresses(issuer: str) -> None:
    provider = make_provider(issuer, role_claim="groups.mri")
    told, state = answered(provider, "5")
    user, _ = provider.finish(urlencode(told), state)
    assert (user.name, user.role) == ("kim@site.example", Role.ANNOTATOR)


def test_a_code_of_another_login_is_refused(issuer: str) -> None:
    provider = make_provider(issuer)
    (hers, _), (his, state) = answered(provider, "1"), answered(provider, "1")
    with pytest.raises(ProviderError, match="belongs to another login"):
        provider.finish(urlencode({**his, "code": hers["code"]}), state)


def test_a_code_that_was_made_up_is_refused(issuer: str) -> None:
    provider = make_provider(issuer)
    told, state = answered(provider, "1")
    with pytest.raises(ProviderError, match="cannot be used"):
        provider.finish(urlencode({**told, "code": "made-up"}), state)


def test_a_token_for_another_client_is_refused(issuer: str) -> None:
    provider = make_provider(issuer)
    told, state = answered(provider, "1")
    provider.settings = ProviderSettings(issuer=issuer, client="another", secret="x")
    with pytest.raises(ProviderError):
        provider.finish(urlencode(told), state)


def test_an_unknown_state_is_refused(issuer: str) -> None:
    provider = make_provider(issuer)
    told, _ = answered(provider, "1")
    with pytest.raises(NotLoggedInError, match="not begun here"):
        provider.finish(urlencode({**told, "state": "x"}), "x")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"issuer": "http://sso.example"}, "https://"), ({"issuer": "https://sso.example", "client": ""}, "oidc_client")],
)
def test_settings_that_are_not_safe_are_refused(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(BadRequestError, match=reason):
        make_provider(settings.pop("issuer"), **settings)
