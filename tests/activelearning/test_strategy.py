"""The strategies over a real store: what a client gets for its requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lib.activelearning.strategy import ORDERS, REOPENED, NextCase, Queues, upcoming
from lib.domain.errors import BadRequestError, LeasedError, UnknownImageError
from lib.store.cohort import CohortStore
from lib.store.datastore import CohortDatastore
from lib.store.scores import ImageScores, write_scores
from lib.store.worklist import WorkList

UNTIL_SETTLED_S = 0.2  # a folder that changed just now may change again within a tick


@pytest.fixture
def datastore(make_cohort: Callable[..., Path]) -> Iterator[CohortDatastore]:
    store = CohortStore(make_cohort(["P1", "P2", "P3"], ["CP", "NP"], labelled=["P1_CP"]))
    yield CohortDatastore(store)
    store.close()


def asks(
    datastore: CohortDatastore, who: str = "", strategy: str = "coverage", **request: str
) -> dict[str, Any] | None:
    return NextCase(ORDERS[strategy], Queues())({"client_id": who, **request}, datastore)


@pytest.mark.parametrize("strategy", ORDERS)
def test_readers_at_once_never_get_the_same_image_and_all_are_handed_out(
    datastore: CohortDatastore, strategy: str
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda reader: asks(datastore, f"reader{reader}", strategy), range(8)))
    given = [answer["id"] for answer in answers if answer]
    assert sorted(given) == ["P1_NP", "P2_CP", "P2_NP", "P3_CP", "P3_NP"]
    assert all(answer["reason"] for answer in answers if answer)


def test_a_reader_gets_the_patients_other_sequence_also_after_submitting_the_first(
    datastore: CohortDatastore,
) -> None:
    first = asks(datastore, "ann", image="P2_CP")
    assert first == {"id": "P2_CP", "reason": "asked for"}
    datastore.store.save_label("P2_CP", datastore.store.label("P1_CP").path)
    WorkList(datastore.store).release("P2_CP")
    following = asks(datastore, "ann")
    assert following == {"id": "P2_NP", "reason": "another sequence of the patient who is open"}


def test_a_skipped_image_is_not_offered_to_that_reader_again_but_to_others(datastore: CohortDatastore) -> None:
    for image in ("P1_NP", "P2_CP", "P2_NP", "P3_CP"):
        asks(datastore, "ann", skip=image, reason="motion")
    left = asks(datastore, "ann")
    assert left is not None
    assert left["id"] == "P3_NP"
    assert asks(datastore, "ann", skip="P3_NP", reason="motion") is None
    assert asks(datastore, "bob") is not None


@pytest.mark.parametrize("reason", ["", "  "])
def test_an_image_cannot_be_skipped_without_a_reason(datastore: CohortDatastore, reason: str) -> None:
    with pytest.raises(BadRequestError, match="reason"):
        asks(datastore, "ann", skip="P1_NP", reason=reason)


def test_what_another_is_labelling_cannot_be_opened_but_what_they_submitted_can(datastore: CohortDatastore) -> None:
    asks(datastore, "ann", image="P2_CP")
    with pytest.raises(LeasedError, match="30 minutes"):
        asks(datastore, "bob", image="P2_CP")
    WorkList(datastore.store).release("P2_CP")
    assert asks(datastore, "bob", image="P2_CP") is not None


def test_a_patient_who_is_asked_for_comes_unlabelled_images_first(datastore: CohortDatastore) -> None:
    assert [asks(datastore, "ann", patient_id="P1"), asks(datastore, "bob", patient_id="P1")] == [
        {"id": "P1_NP", "reason": "asked for"},
        {"id": "P1_CP", "reason": REOPENED},
    ]
    with pytest.raises(LeasedError):
        asks(datastore, "eve", patient_id="P1")


def test_an_unknown_image_or_patient_is_refused(datastore: CohortDatastore) -> None:
    for request in ({"image": "P9_CP"}, {"patient_id": "P9"}, {"skip": "P9_CP", "reason": "gone"}):
        with pytest.raises(UnknownImageError):
            asks(datastore, "ann", **request)


def test_a_lease_ends_after_half_an_hour_unless_it_is_renewed(
    datastore: CohortDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_900_000_000.0
    monkeypatch.setattr("lib.store.worklist.time.time", lambda: now)
    for image in ("P2_CP", "P3_CP"):
        asks(datastore, "ann", image=image)
    now += 20 * 60
    WorkList(datastore.store).renew("P2_CP")
    now += 11 * 60
    assert asks(datastore, "bob", image="P3_CP") is not None
    with pytest.raises(LeasedError, match="19 minutes"):
        asks(datastore, "bob", image="P2_CP")


def test_when_everything_is_labelled_there_is_no_next_case(datastore: CohortDatastore) -> None:
    label = datastore.store.label("P1_CP").path
    for image in ("P1_NP", "P2_CP", "P2_NP", "P3_CP", "P3_NP"):
        datastore.store.save_label(image, label)
    assert asks(datastore, "ann") is None


def test_what_comes_next_by_default_is_told_beforehand(datastore: CohortDatastore) -> None:
    assert len(upcoming(datastore.store, Queues(), 2)) == 2
    expected = upcoming(datastore.store, Queues(), 1)
    found = asks(datastore, "ann", strategy=next(iter(ORDERS)))
    assert found is not None
    assert [found["id"]] == expected


def test_the_other_sequences_of_an_open_patient_are_upcoming_first(datastore: CohortDatastore) -> None:
    asks(datastore, "ann", image="P3_NP")
    assert upcoming(datastore.store, Queues(), 0) == ["P3_CP"]
    assert upcoming(datastore.store, Queues(), 1)[0] == "P3_CP"
    assert "P3_NP" not in upcoming(datastore.store, Queues(), 9)


def test_what_is_kept_of_the_queue_never_outlives_a_label_or_a_score(datastore: CohortDatastore) -> None:
    queues, work = Queues(), WorkList(datastore.store)
    time.sleep(UNTIL_SETTLED_S)
    before = queues.ranked(ORDERS["uncertainty"], work)
    assert queues.ranked(ORDERS["uncertainty"], work) is before
    scored = ImageScores(
        image_id="P3_NP", made_from="v1", model_version="v1", uncertainty={"mass": 0.9}, disagreement={}
    )
    write_scores(datastore.store, [scored])
    assert queues.ranked(ORDERS["uncertainty"], work)[0].image_id == "P3_NP"
    datastore.store.save_label("P3_NP", datastore.store.label("P1_CP").path)
    assert "P3_NP" not in {case.image_id for case in queues.ranked(ORDERS["uncertainty"], work)}


def test_chance_is_the_same_in_another_process_so_that_proposals_can_wait(datastore: CohortDatastore) -> None:
    one, other = (Queues().ranked(ORDERS["random"], WorkList(datastore.store)) for _ in range(2))
    assert one == other


def test_a_click_takes_what_was_ranked_before_but_never_what_got_a_label_since(datastore: CohortDatastore) -> None:
    queues, spec = Queues(), ORDERS["coverage"]
    click = NextCase(spec, queues)
    first = queues.ranked(spec, WorkList(datastore.store))[0].image_id
    datastore.store.save_label(first, datastore.store.label("P1_CP").path)
    assert queues.recent(spec, WorkList(datastore.store))[0].image_id == first
    given = click({"client_id": "ann"}, datastore)
    assert given is not None
    assert given["id"] != first


def test_when_what_was_ranked_is_used_up_the_queue_is_ranked_anew(datastore: CohortDatastore) -> None:
    queues, spec, label = Queues(), ORDERS["coverage"], datastore.store.label("P1_CP").path
    for image in ("P1_NP", "P2_CP", "P2_NP", "P3_CP", "P3_NP"):
        datastore.store.save_label(image, label)
    assert queues.ranked(spec, WorkList(datastore.store)) == []
    datastore.store.remove_label("P2_NP")
    given = NextCase(spec, queues)({"client_id": "ann"}, datastore)
    assert given is not None
    assert given["id"] == "P2_NP"
