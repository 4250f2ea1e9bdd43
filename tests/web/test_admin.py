"""The admin's page: only for admins, whole without a script, and every change with a reason from the page itself."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import torch

from lib.accounts.roles import Role
from lib.configs import jobs as jobs_module
from lib.domain.records import EpochReport
from lib.nets.networks import Plan, build_network, save_weights
from lib.web.endpoints import admin
from tests.web.conftest import OWN, Site

FROM_THE_PAGE = {"Origin": OWN}


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "sync_soon", lambda _: None)


@pytest.fixture
def version(site: Site) -> str:
    """A second version of CP on record, which does not serve."""
    registry = site.door.app.settings.registry()
    plan = Plan(code="CP", spacing_mm=(3.0, 3.0, 6.0), channels=(8, 16, 16))
    torch.manual_seed(1)
    save_weights(registry.models.weights("CP", "CP-2"), build_network(plan).state_dict(), plan, {"version": "CP-2"})
    registry._write("CP", "CP-2", "trained", decision={"verdict": "refuse", "reason": "no better <b>anywhere</b>"})
    return "CP-2"


def test_the_page_shows_labels_versions_and_the_trail_without_a_script(site: Site, version: str) -> None:
    answer = site.client.get("/admin")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "<script" not in answer.text
    assert "1 of 2" in answer.text
    assert "no better &lt;b&gt;anywhere&lt;/b&gt;" in answer.text
    assert "label.found" in answer.text
    root = ET.fromstring(answer.text.replace("<!DOCTYPE html>", ""))  # noqa: S314 - our own page
    labels = {one.get("for") for one in root.iter("label")}
    fields = {one.get("id") for kind in ("input", "select") for one in root.iter(kind) if one.get("type") != "hidden"}
    assert fields <= labels


@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.REVIEWER])
def test_only_admins_see_it(make_site: Callable[..., Site], role: Role) -> None:
    site = make_site(users=True)
    assert site.client.get("/admin", headers=site.token(f"an-{role.title}")).status_code == 403
    assert site.client.get("/admin", headers=site.token("an-admin")).status_code == 200


def test_a_version_is_promoted_and_rolled_back_with_a_reason_on_record(site: Site, version: str) -> None:
    client, registry = site.client, site.door.app.settings.registry()
    answer = client.post("/admin/promote", data={"version": version, "reason": "try it"}, headers=FROM_THE_PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin?done=promoted")
    assert registry.models.find("CP") == registry.models.weights("CP", version)
    assert "Roll back" in client.get("/admin").text
    answer = client.post("/admin/rollback", data={"code": "CP", "reason": "it was worse"}, headers=FROM_THE_PAGE)
    assert answer.status_code == 303
    assert registry.models.find("CP") != registry.models.weights("CP", version)
    assert {entry["why"] for entry in registry.audit.entries()} >= {"try it", "it was worse"}


def test_without_a_reason_nothing_changes_and_the_page_says_so(site: Site, version: str) -> None:
    answer = site.client.post("/admin/promote", data={"version": version, "reason": " "}, headers=FROM_THE_PAGE)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    models = site.door.app.settings.models()
    assert models.find("CP") != models.weights("CP", version)


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_page_cannot_make_a_browser_change_anything(site: Site, version: str, headers: dict) -> None:
    for path, data in (
        ("promote", {"version": version, "reason": "r"}),
        ("rollback", {"code": "CP", "reason": "r"}),
        ("jobs", {"kind": "evaluate"}),
    ):
        assert site.client.post(f"/admin/{path}", data=data, headers=headers).status_code == 403


def test_a_run_under_way_shows_its_progress_and_curve(site: Site) -> None:
    runs = site.door.app.settings.runs()
    with runs.under_way("CP", "CP-9", images=7) as diary:
        for epoch in (1, 2, 3):
            diary.epoch(EpochReport(epoch=epoch, epochs=10, loss=1 / epoch, dice={"mass": 0.1 * epoch}, eta_s=60))
        text = site.client.get("/admin?follow=1").text
    assert '<progress id="progress-CP-9" max="10" value="3">' in text
    assert "Loss 1.000 at first, 0.333 in epoch 3" in text
    assert 'http-equiv="refresh"' in text
    assert 'http-equiv="refresh"' not in site.client.get("/admin").text


def test_a_job_runs_and_what_it_said_is_shown(
    make_site: Callable[..., Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inbox" / "scanner 7").mkdir(parents=True)
    (tmp_path / "main.py").write_text("import sys; print('asked for', sys.argv[1], sys.argv[-1])")
    monkeypatch.setattr(jobs_module, "APP_FOLDER", tmp_path)
    site = make_site(inbox=str(tmp_path / "inbox"))
    asked = {"kind": "onboard", "dicom": "scanner 7", "centre": "North"}
    assert site.client.post("/admin/jobs", data=asked, headers=FROM_THE_PAGE).status_code == 303
    for _ in range(300):
        if site.door.jobs.all()[0].state != "running":
            break
        time.sleep(0.2)
    (job,) = site.door.jobs.all()
    assert (job.state, job.said) == ("done", ("asked for onboard North",))
    assert "asked for onboard North" in site.client.get("/admin").text


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "onboard", "dicom": "../secret", "centre": "North"},
        {"kind": "import", "dicom": "scanner", "centre": "--key"},
        {"kind": "shell"},
    ],
)
def test_what_is_not_in_the_inbox_is_not_read(make_site: Callable[..., Site], tmp_path: Path, asked: dict) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "inbox" / "scanner").mkdir(parents=True)
    site = make_site(inbox=str(tmp_path / "inbox"))
    answer = site.client.post("/admin/jobs", data=asked, headers=FROM_THE_PAGE)
    assert answer.status_code == 400
    assert re.search("expected one|name is missing", answer.text)
    assert site.door.jobs.all() == []
