from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lib.cli import doctor
from lib.cli.app import app
from tests.orthanc import needs_orthanc, orthanc

PINNED = doctor.pinned


def asked(*arguments: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    findings: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(result.stdout)["findings"]:
        findings.setdefault(finding["check"], []).append(finding)
    return result.exit_code, findings


@pytest.fixture(autouse=True)
def nothing_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed where the tests run is not what they are about."""
    monkeypatch.setattr(doctor, "pinned", lambda _: {"torch": doctor.installed("torch")})


def test_a_sound_installation_passes(make_cohort: Callable[..., Path]) -> None:
    code, found = asked("--studies", str(make_cohort(["P1"], ["CP"])))
    assert code == 0
    assert {finding["state"] for check in found.values() for finding in check} <= {"ok", "warning"}
    assert set(found) == {"python", "packages", "device", "weights", "disk", "cohort", "quality"}
    assert "total 1" in found["cohort"][0]["seen"]


def test_a_package_at_another_version_fails_and_both_versions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "pinned", lambda _: {"torch": "1.0", "no-such-package": "2.0"})
    code, found = asked()
    assert code == 1
    (packages,) = found["packages"]
    assert packages["state"] == "failed"
    assert "no-such-package missing (expected 2.0)" in packages["seen"]
    assert "(expected 1.0)" in packages["seen"]


def test_damaged_weights_fail_and_the_other_checks_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / "live" / "NP" / "champion.safetensors"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"half a file")
    monkeypatch.setenv("RENAL_LOOP_LIVE", str(tmp_path / "live"))
    code, found = asked()
    assert code == 1
    failed = [finding["seen"] for finding in found["weights"] if finding["state"] == "failed"]
    assert [seen.split(":")[0] for seen in failed] == ["NP"]
    assert found["disk"][0]["state"] == "ok"


def test_a_cohort_that_is_no_folder_fails(tmp_path: Path) -> None:
    code, found = asked("--studies", str(tmp_path / "nowhere"))
    assert (code, found["cohort"][0]["state"]) == (1, "failed")


def test_pins_are_read_without_their_reasons_and_what_is_no_pin_is_passed_over() -> None:
    text = "# a note\ntorch==2.13.0  # both builds\nitk-core==5.4.7\n\n-r other.txt\nnumpy>=1\n"
    assert PINNED(text) == {"torch": "2.13.0", "itk-core": "5.4.7"}


def test_a_pacs_that_cannot_be_reached_fails_and_the_others_are_checked_all_the_same() -> None:
    code, found = asked("--studies", "http://127.0.0.1:9/dicom-web")
    assert code == 1
    assert "cannot be reached" in found["pacs"][0]["seen"]
    assert "cohort" not in found
    assert found["python"][0]["state"] == "ok"


@needs_orthanc
def test_a_pacs_that_answers_passes(tmp_path: Path) -> None:
    with orthanc(tmp_path / "orthanc") as pacs:
        code, found = asked("--studies", pacs.url)
    assert code == 0
    assert found["pacs"][0]["seen"] == "answers; 0 MR series, 0 studies"
