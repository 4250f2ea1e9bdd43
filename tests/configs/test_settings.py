"""Settings come from --conf, then the environment, then the default."""

import pytest

from lib.configs.settings import Settings
from lib.domain.errors import BadRequestError


def test_conf_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENAL_LOOP_DEVICE", "cuda")
    assert Settings.from_conf({}).device == "cuda"
    assert Settings.from_conf({"device": "cpu"}).device == "cpu"


@pytest.mark.parametrize("keep", ["2", "-5", "all", "3.5"])
def test_keeping_fewer_versions_than_a_rollback_needs_is_refused(keep: str) -> None:
    with pytest.raises(BadRequestError, match="expected a whole number, 3 or more"):
        Settings.from_conf({"keep": keep})


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "nan"])
def test_a_training_budget_that_is_no_positive_number_is_refused(minutes: str) -> None:
    with pytest.raises(BadRequestError, match="expected a positive number"):
        Settings.from_conf({"minutes": minutes})
