"""The file of users, and the tokens that it signs."""

import stat
from pathlib import Path

import jwt
import pytest

from lib.accounts.loopback import is_loopback
from lib.accounts.roles import Role
from lib.accounts.tokens import Purpose, Tokens
from lib.accounts.users import UserFile
from lib.domain.errors import BadUsersError

PASSWORD, OTHER = "correct horse battery", "another long password"


@pytest.fixture
def users(tmp_path: Path) -> UserFile:
    file = UserFile(tmp_path / "somewhere" / "users.json")
    file.add("anna", Role.REVIEWER, PASSWORD)
    return file


@pytest.fixture
def tokens(users: UserFile) -> Tokens:
    return Tokens(users, hours=1)


def test_only_the_owner_reads_the_file_and_it_holds_no_password(users: UserFile) -> None:
    users.add("bert", Role.ADMIN, OTHER)
    assert stat.S_IMODE(users.path.stat().st_mode) == 0o600
    content = users.path.read_text()
    assert PASSWORD not in content
    assert OTHER not in content
    assert "$argon2id$" in content


def test_a_password_fits_its_user_alone(users: UserFile) -> None:
    users.add("bert", Role.ADMIN, OTHER)
    found = users.check("anna", PASSWORD)
    assert found is not None
    assert found.user.role is Role.REVIEWER
    assert users.check("anna", OTHER) is None
    assert users.check("nobody", PASSWORD) is None


def test_another_process_sees_a_change(users: UserFile) -> None:
    other = UserFile(users.path)
    assert [user.name for user in other.users()] == ["anna"]
    users.add("bert", Role.ADMIN, OTHER)
    assert [user.name for user in other.users()] == ["anna", "bert"]
    assert other.key() == users.key()


@pytest.mark.parametrize("name", ["", "a b", "<script>", "../x", "x" * 65, ".hidden", "name\n"])
def test_a_name_with_other_characters_is_refused(users: UserFile, name: str) -> None:
    with pytest.raises(BadUsersError, match="user name"):
        users.add(name, Role.ADMIN, PASSWORD)


def test_a_short_password_is_refused(users: UserFile) -> None:
    with pytest.raises(BadUsersError, match="9 characters; expected 10"):
        users.add("bert", Role.ADMIN, "ninechars")


def test_a_name_is_given_once(users: UserFile) -> None:
    with pytest.raises(BadUsersError, match="there is a user 'anna'"):
        users.add("anna", Role.ADMIN, PASSWORD)


def test_an_unknown_user_cannot_be_changed(users: UserFile) -> None:
    for change in (lambda: users.remove("bert"), lambda: users.set_password("bert", PASSWORD)):
        with pytest.raises(BadUsersError, match="expected one of: anna"):
            change()


def test_a_file_that_others_can_read_is_not_trusted(users: UserFile) -> None:
    users.path.chmod(0o644)
    with pytest.raises(BadUsersError, match="mode 600"):
        UserFile(users.path).users()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"key": "k", "users": {"a": {}}}', '{"key": "k", "users": []}'])
def test_a_damaged_file_is_not_taken_for_one_without_users(users: UserFile, content: str) -> None:
    users.path.write_text(content)
    users.path.chmod(0o600)
    with pytest.raises(BadUsersError, match="damaged"):
        UserFile(users.path).users()


def test_a_token_names_its_user_for_its_purpose_only(users: UserFile, tokens: Tokens) -> None:
    token = tokens.issue(users.check("anna", PASSWORD), Purpose.CLIENT)
    assert tokens.read(token, Purpose.CLIENT).name == "anna"
    assert tokens.read(token, Purpose.BROWSER) is None
    assert tokens.read(token + "x", Purpose.CLIENT) is None
    assert tokens.read("", Purpose.CLIENT) is None


def test_a_token_of_another_key_or_without_one_is_worth_nothing(users: UserFile, tokens: Tokens) -> None:
    claims = {"sub": "anna", "aud": "client", "exp": 9e9, "jti": "1", "gen": users.account("anna").generation}
    assert tokens.read(jwt.encode(claims, "k" * 64, algorithm="HS256"), Purpose.CLIENT) is None
    assert tokens.read(jwt.encode(claims, None, algorithm="none"), Purpose.CLIENT) is None
    assert tokens.read(jwt.encode(claims, users.key(), algorithm="HS256"), Purpose.CLIENT) is not None


def test_a_token_ends_with_time_logout_password_and_user(users: UserFile, tokens: Tokens) -> None:
    account = users.check("anna", PASSWORD)
    late = Tokens(users, hours=-1)
    assert late.read(late.issue(account, Purpose.CLIENT), Purpose.CLIENT) is None

    token = tokens.issue(account, Purpose.BROWSER)
    tokens.end(token, Purpose.BROWSER)
    assert tokens.read(token, Purpose.BROWSER) is None

    token = tokens.issue(account, Purpose.CLIENT)
    users.set_password("anna", OTHER)
    assert tokens.read(token, Purpose.CLIENT) is None

    token = tokens.issue(users.check("anna", OTHER), Purpose.CLIENT)
    users.remove("anna")
    assert tokens.read(token, Purpose.CLIENT) is None


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_only_loopback_addresses_are_the_machines_own(address: str, own: bool) -> None:
    assert is_loopback(address) is own
