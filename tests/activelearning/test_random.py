"""A case that was just given to somebody is not given to the next."""

import random
from collections.abc import Callable
from pathlib import Path

from lib.activelearning.random import RandomUnlabelled, choose
from lib.store.cohort import CohortStore
from lib.store.datastore import CohortDatastore

NOW = 1_800_000_000.0


def test_a_case_that_was_just_offered_is_held_back() -> None:
    offered = {"a": NOW - 60, "b": 0.0, "c": NOW - 7200}
    assert {choose(offered, NOW, random.Random(seed)) for seed in range(50)} == {"b", "c"}


def test_when_all_were_just_offered_one_is_offered_again() -> None:
    assert choose({"a": NOW - 5}, NOW, random.Random(0)) == "a"


def test_without_candidates_there_is_no_case() -> None:
    assert choose({}, NOW, random.Random(0)) is None


def test_only_images_without_a_label_are_offered(make_cohort: Callable[..., Path]) -> None:
    store = CohortStore(make_cohort(["P1"], ["CP", "NP"], labelled=["P1_CP"]))
    datastore = CohortDatastore(store)
    assert RandomUnlabelled()({"strategy": "random"}, datastore) == {"id": "P1_NP"}
    store.save_label("P1_NP", store.label("P1_CP").path)
    assert RandomUnlabelled()({"strategy": "random"}, datastore) is None
    store.close()
