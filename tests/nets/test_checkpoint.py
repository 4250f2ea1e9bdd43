from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lib.domain.records import EpochReport, LabelledImage
from lib.nets.fit import fit
from lib.nets.networks import Plan
from lib.nets.trainee import FitSettings

Make = Callable[..., list[LabelledImage]]
SETTINGS = FitSettings(epochs=5, steps_per_epoch=2, device="cpu", checkpoint_s=0)


class KilledError(Exception):
    """Stands in for the end of the process."""


def killed_after(epochs: int, seen: list[EpochReport]) -> Callable[[EpochReport], None]:
    def on_epoch(report: EpochReport) -> None:
        seen.append(report)
        if report.epoch == epochs:
            raise KilledError

    return on_epoch


def killed_run(
    cases: list[LabelledImage], plan: Plan, path: Path, settings: FitSettings = SETTINGS
) -> list[EpochReport]:
    seen: list[EpochReport] = []
    with pytest.raises(KilledError):
        fit(cases, cases[:1], plan, settings, checkpoint=path, on_epoch=killed_after(3, seen))
    assert path.is_file()
    return seen


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not_killed(
    make_cases: Make, tiny_plan: Plan, tmp_path: Path
) -> None:
    cases, path = make_cases(3), tmp_path / "run.checkpoint"
    expected = fit(cases, cases[:1], tiny_plan, SETTINGS)
    killed_run(cases, tiny_plan, path)
    seen: list[EpochReport] = []
    resumed = fit(cases, cases[:1], tiny_plan, SETTINGS, checkpoint=path, on_epoch=seen.append)
    assert [report.epoch for report in seen] == [4, 5]
    assert [report.loss for report in resumed.reports] == [report.loss for report in expected.reports]
    assert resumed.best_dice == expected.best_dice
    assert all(torch.equal(resumed.state[name], expected.state[name]) for name in expected.state)


def test_a_finished_run_leaves_no_checkpoint(make_cases: Make, tiny_plan: Plan, tmp_path: Path) -> None:
    fit(make_cases(1), [], tiny_plan, SETTINGS, checkpoint=tmp_path / "run.checkpoint")
    assert list(tmp_path.glob("*.checkpoint*")) == []


def test_a_stopped_run_can_go_on(make_cases: Make, tiny_plan: Plan, tmp_path: Path) -> None:
    path, answers = tmp_path / "run.checkpoint", iter([False] * 5 + [True])
    stopped = fit(make_cases(1), [], tiny_plan, SETTINGS, checkpoint=path, should_stop=lambda: next(answers, True))
    assert stopped.stopped
    assert path.is_file()


def test_the_time_that_a_run_has_spent_counts_when_it_goes_on(
    make_cases: Make, tiny_plan: Plan, tmp_path: Path
) -> None:
    cases, path = make_cases(1), tmp_path / "run.checkpoint"
    settings = replace(SETTINGS, minutes=60.0, steps_per_epoch=1)
    before = killed_run(cases, tiny_plan, path, settings)
    after: list[EpochReport] = []
    fit(
        cases,
        cases[:1],
        tiny_plan,
        settings,
        checkpoint=path,
        on_epoch=after.append,
        should_stop=lambda: bool(after),
    )
    assert after[0].eta_s < before[-1].eta_s


@pytest.mark.parametrize("change", ["settings", "cases", "damage"])
def test_a_checkpoint_that_does_not_fit_is_not_used_and_that_is_said(
    make_cases: Make, tiny_plan: Plan, tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    cases, path = make_cases(2), tmp_path / "run.checkpoint"
    killed_run(cases, tiny_plan, path)
    if change == "damage":
        path.write_bytes(path.read_bytes()[:1000])
    settings = replace(SETTINGS, seed=1) if change == "settings" else SETTINGS
    cases = make_cases(3) if change == "cases" else cases
    expected = fit(cases, cases[:1], tiny_plan, settings)
    with caplog.at_level(logging.WARNING):
        found = fit(cases, cases[:1], tiny_plan, settings, checkpoint=path)
    assert "training starts from the beginning" in caplog.text
    assert all(torch.equal(found.state[name], expected.state[name]) for name in expected.state)
