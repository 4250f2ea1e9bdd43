from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lib.store.cohort import CohortStore
from lib.store.scores import ImageScores, scored_from, waiting_examinations, write_scores
from lib.store.worklist import WorkList


@pytest.fixture
def store(make_cohort: Callable[..., Path], database: str) -> Iterator[CohortStore]:
    folder = make_cohort(["P1", "P1-study2", "P2", "P3"], ["CP", "NP"], labelled=["P1_CP", "P2_CP", "P2_NP"])
    table = (folder / "cohort.csv").read_text().splitlines()
    facts = [line.replace(",P1-study2,", ",P1,") + (",17.5" if line.startswith("P1_") else ",") for line in table[1:]]
    (folder / "cohort.csv").write_text("\n".join([f"{table[0]},size_mm", *facts, ""]))
    store = CohortStore(folder, database)
    yield store
    store.close()


def scores(image_id: str, version: str = "v1") -> ImageScores:
    return ImageScores(
        image_id=image_id,
        made_from=version,
        model_version=version,
        uncertainty={"mass": 0.5},
        disagreement={"mass": 0.25},
    )


def test_examinations_that_wait_are_whole_and_a_patients_second_study_is_one_of_its_own(store: CohortStore) -> None:
    found = sorted(waiting_examinations(store))
    assert found == [["P1-study2_CP", "P1-study2_NP"], ["P1_CP", "P1_NP"], ["P3_CP", "P3_NP"]]


def test_candidates_bring_their_scores_and_size_and_newer_scores_replace_older_ones(store: CohortStore) -> None:
    write_scores(store, [scores("P1_NP"), scores("P3_CP")])
    write_scores(store, [scores("P1_NP", "v2")])
    assert scored_from(store) == {"P1_NP": "v2", "P3_CP": "v1"}
    by_id = {case.image_id: case for case in WorkList(store).candidates()}
    found, unmeasured = by_id["P1_NP"], by_id["P3_NP"]
    assert (found.uncertainty, found.disagreement, found.model_version) == ({"mass": 0.5}, {"mass": 0.25}, "v2")
    assert (found.size, unmeasured.size) == ("17.5", "")
    assert (unmeasured.uncertainty, unmeasured.model_version) == ({}, "")
    assert [case.image_id for case in WorkList(store).labelled()] == ["P1_CP", "P2_CP", "P2_NP"]


def test_the_labels_of_an_examination_are_those_of_its_other_images_the_newest_first(store: CohortStore) -> None:
    store.save_label("P1_NP", store.label("P1_CP").path)
    store.save_label("P1-study2_CP", store.label("P1_CP").path)
    assert [one.image_id for one in store.examined_with("P1_CP")] == ["P1_NP"]
    assert store.examined_with("P1-study2_CP") == []
    assert [one.image_id for one in store.examined_with("P1-study2_NP")] == ["P1-study2_CP"]
    store.save_label("P2_CP", store.label("P2_NP").path)
    assert store.examined_with("P3_CP") == []
