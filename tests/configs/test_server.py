"""Settings of the HTTP server."""

from pathlib import Path

import pytest

from lib.configs.server import ServerSettings
from lib.domain.errors import BadRequestError


def test_an_option_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENAL_LOOP_INFER_QUEUE", "3")
    monkeypatch.setenv("RENAL_LOOP_TIMEOUT_S", "7.5")
    settings = ServerSettings.from_conf({"infer_queue": "5"})
    assert (settings.infer_queue, settings.timeout_s, settings.infer_workers) == (5, 7.5, 1)


@pytest.mark.parametrize(
    ("name", "text"), [("infer_queue", "1.5"), ("timeout_s", "inf"), ("upload_mb", "0"), ("token_hours", "nan")]
)
def test_a_number_that_makes_no_sense_is_refused(name: str, text: str) -> None:
    with pytest.raises(BadRequestError, match=f"setting {name} is '{text}'; expected a positive"):
        ServerSettings.from_conf({name: text})


def test_users_are_kept_outside_of_repository_and_cohort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert ServerSettings().users_file == Path("/somewhere/renal-loop/users.json")
    assert ServerSettings(users="/x/users.json").users_file == Path("/x/users.json")
