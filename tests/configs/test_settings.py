"""Settings come from --conf, then the environment, then the default."""

import pytest

from lib.configs.settings import Settings
from lib.domain.errors import BadRequestError
from lib.loop.label_quality import LabelRule
from lib.loop.policy import RetrainRule
from lib.registry.promotion import GateRule


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


def test_the_figures_of_a_rule_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENAL_LOOP_GATE_MARGIN", "0.05")
    monkeypatch.setenv("RENAL_LOOP_RETRAIN_NEW_LABELS", "25")
    found = Settings.from_conf({"gate_min_patients": "30", "labels_action": "down-weight", "retrain_first": "DP,NP"})
    assert found.gate == GateRule(margin=0.05, min_patients=30)
    assert found.retraining == RetrainRule(new_labels=25, first="DP,NP")
    assert found.labels == LabelRule(action="down-weight")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gate_margin", "small", "gate_margin is 'small'; expected a number"),
        ("gate_min_patients", "2.5", "gate_min_patients is '2.5'; expected a whole number"),
        ("gate_confidence", "1", "gate_confidence is 1; expected 0.5 to 0.999"),
        ("labels_action", "drop", "labels_action is 'drop'; expected 'hold' or 'down-weight'"),
    ],
)
def test_a_figure_that_cannot_be_read_or_applied_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        Settings.from_conf({name: value})
