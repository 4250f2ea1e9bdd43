"""What became of proposals: compared beside the server, followed per sequence and scanner."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from lib.domain.errors import BadImageError
from lib.imaging.volume import Volume, write_volume
from lib.infers.waiting import WaitingRoom
from lib.loop.monitoring import GONE, QualityWatch, courses
from lib.store.cohort import CohortStore
from lib.store.quality import ProposalQuality, QualityLog
from tests.conftest import two_kidneys


@pytest.fixture
def store(make_cohort: Callable[..., Path]) -> Iterator[CohortStore]:
    found = CohortStore(make_cohort(["P1", "P2"], ["CP"], labelled=[]))
    yield found
    found.close()


@pytest.fixture
def room(store: CohortStore) -> WaitingRoom:
    return WaitingRoom(store.folder.own / "waiting")


def propose(store: CohortStore, room: WaitingRoom, label: Volume, version: str = "CP-1") -> None:
    room.keep("P1_CP", "key", label, {"model_version": version})
    store.record_proposal("P1_CP", "segment_cp", version, expected_dice=0.7, distrust=True)


def submit(store: CohortStore, label: Volume, tmp_path: Path) -> None:
    write_volume(label, tmp_path / "label.nii.gz")
    store.save_label("P1_CP", tmp_path / "label.nii.gz")


def watched(store: CohortStore, room: WaitingRoom, drift: Callable[[str], float | None] = lambda _: None) -> QualityLog:
    log = QualityLog(store)
    QualityWatch(log, room.proposed, drift)()
    return log


def test_a_submitted_label_is_compared_with_the_proposal_that_it_started_from(
    store: CohortStore, room: WaitingRoom, tmp_path: Path
) -> None:
    _, final = two_kidneys(0)
    half = final.data.copy()
    half[:, :, : final.shape[2] // 2] = 0
    propose(store, room, Volume(data=half, affine=final.affine))
    submit(store, final, tmp_path)
    (row,) = watched(store, room).all()
    mass = half == 2, final.data == 2
    assert row.compared == "yes"
    assert row.mass_dice == pytest.approx(2 * (mass[0] & mass[1]).sum() / (mass[0].sum() + mass[1].sum()))
    assert row.kidney_dice is not None
    assert (row.expected_dice, row.distrust, row.sequence, row.scanner) == (0.7, True, "CP", "GE")


def test_a_proposal_without_a_label_waits(store: CohortStore, room: WaitingRoom) -> None:
    propose(store, room, two_kidneys(0)[1])
    (row,) = watched(store, room).all()
    assert (row.compared, row.mass_dice) == ("", None)


def test_another_versions_proposal_is_not_compared(store: CohortStore, room: WaitingRoom, tmp_path: Path) -> None:
    _, label = two_kidneys(0)
    propose(store, room, label)
    room.keep("P1_CP", "key", label, {"model_version": "CP-2"})
    submit(store, label, tmp_path)
    (row,) = watched(store, room).all()
    assert (row.compared, row.mass_dice) == (GONE, None)


def test_drift_is_measured_once_an_image(store: CohortStore, room: WaitingRoom) -> None:
    asked: list[str] = []

    def drift(image_id: str) -> float:
        asked.append(image_id)
        return 1.5

    for version in ("CP-1", "CP-2"):
        propose(store, room, two_kidneys(0)[1], version)
        log = watched(store, room, drift)
    assert [row.drift for row in log.all()] == [1.5, 1.5]
    assert asked == ["P1_CP"]


def test_an_image_that_cannot_be_measured_is_not_tried_again(store: CohortStore, room: WaitingRoom) -> None:
    asked: list[str] = []

    def drift(image_id: str) -> float:
        asked.append(image_id)
        raise BadImageError("no")

    propose(store, room, two_kidneys(0)[1])
    watch = QualityWatch(QualityLog(store), room.proposed, drift)
    watch()
    watch()
    assert asked == ["P1_CP"]


def row(number: int, dice: float | None, **more: object) -> ProposalQuality:
    base = ProposalQuality(
        proposal_id=number,
        image_id=f"P{number}_CP",
        sequence="CP",
        scanner="GE MR750",
        model_version="CP-1",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        expected_dice=None,
        distrust=False,
        drift=None,
        mass_dice=dice,
        kidney_dice=None,
        compared="yes",
    )
    return replace(base, **more)


def test_a_fall_on_one_scanner_is_flagged_there_and_nowhere_else() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.uniform(0.7, 0.9, 100), rng.uniform(0.2, 0.4, 15)
    rows = [row(number, float(value)) for number, value in enumerate([*good[:40], *bad])]
    rows += [row(200 + number, float(value), scanner="Siemens Aera") for number, value in enumerate(good[40:])]
    found = {course.scanner: course for course in courses(rows)}
    assert found["GE MR750"].changed
    assert re.search(r"fell at about image (39|40|41) of 55: median 0.8\d before, 0.3\d since", found["GE MR750"].said)
    assert not found["Siemens Aera"].changed


def test_an_image_that_was_opened_twice_counts_once() -> None:
    (course,) = courses([row(1, None), row(2, 0.5, image_id="P1_CP"), row(3, 0.6, image_id="P1_CP")])
    assert course.values == (0.6,)
    assert "more are needed" in course.said
