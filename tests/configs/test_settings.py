"""Settings come from --conf, then the environment, then the default."""

import pytest

from lib.configs.settings import Settings
from lib.domain.errors import BadRequestError


def test_conf_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENAL_LOOP_DEVICE", "cuda")
    assert Settings.from_conf({}).device == "cuda"
    assert Settings.from_conf({"device": "cpu"}).device == "cpu"


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "nan"])
def test_a_training_budget_that_is_no_positive_number_is_refused(minutes: str) -> None:
    with pytest.raises(BadRequestError, match="expected a positive number"):
        Settings.from_conf({"minutes": minutes})
