"""An admin's page in a real browser: real Chromium, the real server, with the keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.configs.settings import Settings
from lib.domain.records import EpochReport
from lib.nets.networks import Plan, build_network, save_weights
from lib.store.cohort import CohortStore
from lib.store.quality import QualityLog, Uncompared
from tests.conftest import two_kidneys
from tests.e2e.conftest import APP, Server, needs_chromium, running

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    needs_chromium,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
PICTURES = APP / "tests-out" / "admin"
PATIENCE_MS = 240_000  # a busy machine is no failure


def versions_and_a_run(live: Path) -> None:
    settings = Settings(live=str(live))
    registry, plan = settings.registry(), Plan(code="CP", spacing_mm=(3.0, 3.0, 6.0), channels=(8, 16, 16))
    for number, (verdict, reason) in enumerate((("promote", "better on average"), ("refuse", "misses 3 masses")), 1):
        torch.manual_seed(number)
        weights = registry.models.weights("CP", f"CP-1{number}")
        save_weights(weights, build_network(plan).state_dict(), plan, {"version": f"CP-1{number}"})
        registry._write("CP", f"CP-1{number}", "trained", decision={"verdict": verdict, "reason": reason})
    registry.promote("CP-11", who="gate", reason="better on average")
    with settings.runs().under_way("CP", "CP-13", images=12) as diary:
        for epoch in range(1, 9):
            dice = {"mass": 0.1 + 0.06 * epoch, "kidney": 0.8}
            diary.epoch(EpochReport(epoch=epoch, epochs=8, loss=1.2 / epoch, dice=dice, eta_s=0))


def proposals_that_got_worse(studies: Path) -> None:
    store = CohortStore(studies)
    log, rng = QualityLog(store), np.random.default_rng(0)
    for number, image_id in enumerate(store.image_ids()):
        store.record_proposal(image_id, "segment_cp", "CP-11", expected_dice=float(rng.uniform(0.6, 0.9)))
        score = float(rng.uniform(0.75, 0.9) if number < 26 else rng.uniform(0.2, 0.4))
        waiting = Uncompared(
            proposal_id=number + 1,
            image_id=image_id,
            model_version="CP-11",
            version_id=1,
            label=studies,
            drawn=frozenset({"mass"}),
        )
        log.compare(waiting, {"mass": score, "kidney": None}, "yes")
    store.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from lib.domain.cohort import format_cohort
    from lib.domain.records import CaseRecord
    from lib.imaging.volume import write_volume

    folder = tmp_path_factory.mktemp("admin")
    studies, records = folder / "cohort", []
    for number in range(34):
        image_id = f"P{number:02d}_CP"
        image, label = two_kidneys(number, (32, 28, 8))
        write_volume(image, studies / f"{image_id}.nii.gz")
        if number % 3 == 0:
            write_volume(label, studies / "labels" / "final" / f"{image_id}.nii.gz")
        records.append(
            CaseRecord(image_id=image_id, patient_id=f"P{number:02d}", sequence="CP", centre="A", vendor="GE")
        )
    (studies / "cohort.csv").write_text(format_cohort(records))
    proposals_that_got_worse(studies)
    versions_and_a_run(folder / "live")
    with running(studies, folder / "live", ahead="0") as found:
        yield found


@pytest.fixture
def page(chromium) -> Iterator:
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 1200, "height": 900})
    found = context.new_page()
    found.set_default_timeout(PATIENCE_MS)
    yield found
    context.close()


@pytest.fixture
def reached(page, server: Server) -> Callable[[str], None]:
    """Go to a field or button by its name, by pressing Tab alone."""

    def reach(selector: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.locator(f"{selector}:focus").count():
                return
        pytest.fail(f"{selector} is not reached with the keyboard")

    return reach


def test_a_version_is_let_serve_with_the_keyboard_and_without_javascript(page, reached, server: Server) -> None:
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.url}/admin")
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / "page.png").write_bytes(page.screenshot(full_page=True))
    assert page.get_by_text("12 of 34").count()
    assert page.get_by_text("misses 3 masses").count()
    assert page.get_by_text("changed", exact=True).count()
    reached("#version")
    page.keyboard.type("CP-12")
    reached("#promote-reason")
    page.keyboard.type("a second look says it is fine")
    page.keyboard.press("Enter")
    page.get_by_role("status").wait_for()
    assert page.get_by_role("row", name="CP-12 serves").count()
    assert page.get_by_text("a second look says it is fine").count()
    assert all(url.startswith(server.url) for url in asked)
    (PICTURES / "promoted.png").write_bytes(page.screenshot())


def test_every_field_and_every_part_of_the_page_has_a_name_for_a_screen_reader(page, server: Server) -> None:
    page.goto(f"{server.url}/admin")
    for role in ("textbox", "combobox", "button", "region", "img", "navigation", "link"):
        for one in page.get_by_role(role).all():
            assert one.aria_snapshot().partition('"')[2], f"a {role} has no name"
