"""A suspicious label is found, listed, held or down-weighted, and released by a person; never dropped in silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.domain.audit import AuditEvent
from lib.domain.errors import BadRequestError, StorageError, UnknownImageError
from lib.domain.records import LabelledImage
from lib.imaging.volume import read_label, write_bytes
from lib.loop.label_quality import LabelRule
from lib.loop.label_review import LabelReviews, review_new, sorted_out
from lib.loop.witnesses import Witness, lineage, patients_taught, witnesses_of
from lib.registry.models import ModelFolder
from lib.registry.versions import LabelUsed, SuspectedLabel, TrainingRun, VersionRecord, file_sha256, write_record
from lib.store.cohort import CohortStore

RULE = LabelRule()
OLDEST = Witness(version="v0", weights=Path("v0"))
OLD = Witness(version="v1", weights=Path("v1"))
NEW = Witness(version="v2", weights=Path("v2"), learned_from=frozenset({"P1_CP"}))


@pytest.fixture
def said() -> list[AuditEvent]:
    return []


@pytest.fixture
def reviews(tmp_path: Path, said: list[AuditEvent]) -> LabelReviews:
    return LabelReviews(live=tmp_path / "live", record=said.extend)


@pytest.fixture
def cases(make_cohort: Callable[..., Path]) -> list[LabelledImage]:
    store = CohortStore(make_cohort(["P1", "P2", "P3"], ["CP"]))
    try:
        return store.labelled("CP")
    finally:
        store.close()


class Models:
    """Predict the label itself, but for one image where they see it elsewhere; and remember who was asked."""

    def __init__(self, wrong: str) -> None:
        self.wrong, self.asked = wrong, []

    def __call__(self, weights: Path, case: LabelledImage) -> np.ndarray:
        self.asked.append((weights.name, case.image_id))
        label = read_label(case.label).data.astype(np.uint8)
        return np.roll(label, 8, axis=1) if case.image_id == self.wrong else label


def test_a_label_that_fits_better_elsewhere_is_held_listed_and_released(
    reviews: LabelReviews, cases: list[LabelledImage], said: list[AuditEvent]
) -> None:
    models = Models("P2_CP")
    review_new("CP", cases, reviews, [OLD, OLDEST], models, RULE)
    used, suspected = sorted_out(cases, reviews.of("CP"), RULE)
    assert [case.image_id for case in used] == ["P1_CP", "P3_CP"]
    (listed,) = suspected
    assert (listed.image_id, listed.became, listed.weight) == ("P2_CP", "hold", 0.0)
    assert "shifted: it fits both predictions better" in listed.why
    assert [(event.what, event.about["image_id"]) for event in said] == [("label.suspected", "P2_CP")]
    assert [one.image_id for one in reviews.open()] == ["P2_CP"]

    reviews.release("P2_CP", who="r2", why="a pelvic kidney")
    assert reviews.open() == []
    assert sorted_out(cases, reviews.of("CP"), RULE) == (cases, [])
    assert (said[-1].what, said[-1].who, said[-1].why) == ("label.released", "r2", "a pelvic kidney")


def test_a_down_weighted_label_teaches_less_and_judges_as_before(
    reviews: LabelReviews, cases: list[LabelledImage]
) -> None:
    rule = LabelRule(action="down-weight", weight=0.25)
    review_new("CP", cases, reviews, [OLDEST, OLD], Models("P2_CP"), rule)
    used, suspected = sorted_out(cases, reviews.of("CP"), rule)
    assert {case.image_id: case.weight for case in used} == {"P1_CP": 1.0, "P2_CP": 0.25, "P3_CP": 1.0}
    assert [(one.image_id, one.became, one.weight) for one in suspected] == [("P2_CP", "down-weight", 0.25)]


def test_a_version_is_judged_once_and_a_corrected_label_again(
    reviews: LabelReviews, cases: list[LabelledImage]
) -> None:
    models = Models("P2_CP")
    for _ in range(2):
        review_new("CP", cases, reviews, [OLDEST, OLD], models, RULE)
    images = [case.image_id for case in cases]
    assert models.asked == [(version, image) for image in images for version in ("v0", "v1")]
    corrected = [replace(case, label_sha256="new") if case.image_id == "P2_CP" else case for case in cases]
    models.wrong = ""
    review_new("CP", corrected, reviews, [OLDEST, OLD], models, RULE)
    assert models.asked[6:] == [("v0", "P2_CP"), ("v1", "P2_CP")]
    assert reviews.open() == []
    assert len(sorted_out(corrected, reviews.of("CP"), RULE)[0]) == 3


@pytest.mark.parametrize("known", [[], [OLD], [NEW]])
def test_without_two_models_that_can_be_asked_a_label_is_used_and_judged_another_time(
    reviews: LabelReviews, cases: list[LabelledImage], known: list[Witness]
) -> None:
    review_new("CP", cases, reviews, known, Models("P2_CP"), RULE)
    assert sorted_out(cases, reviews.of("CP"), RULE) == (cases, [])
    assert reviews.of("CP") == []


def test_a_release_needs_a_suspicious_label_and_a_reason(reviews: LabelReviews, cases: list[LabelledImage]) -> None:
    review_new("CP", cases, reviews, [OLDEST, OLD], Models("P2_CP"), RULE)
    with pytest.raises(UnknownImageError, match="no suspicious label"):
        reviews.release("P1_CP", who="r", why="it is right")
    with pytest.raises(BadRequestError, match="reason is empty"):
        reviews.release("P2_CP", who="r", why="  ")
    assert [one.image_id for one in reviews.open()] == ["P2_CP"]


def test_a_damaged_file_of_reviews_is_said(reviews: LabelReviews) -> None:
    write_bytes(b"{}!", reviews.live / "CP" / "label-reviews.json")
    with pytest.raises(StorageError, match="expected the list of label reviews"):
        reviews.of("CP")


# ---- who is asked


def test_only_models_that_never_learned_from_the_patient_are_asked_the_proposing_one_first(
    cases: list[LabelledImage],
) -> None:
    known = [NEW, OLD, OLDEST]
    taught = patients_taught(known, cases)
    one, two, _ = cases
    assert [found.version for found in witnesses_of(one, known, taught)] == ["v1", "v0"]
    assert [found.version for found in witnesses_of(two, known, taught)] == ["v2", "v1"]
    proposed = replace(two, proposed_by="v0")
    assert [found.version for found in witnesses_of(proposed, known, taught)] == ["v0", "v2"]


def record(models: ModelFolder, version: str, before: str, images: list[str], source: str = "trained") -> None:
    weights = models.weights("CP", version)
    write_bytes(version.encode(), weights)
    training = TrainingRun(
        started_from=before,
        started_from_sha256="",
        code_version="",
        code_sha256="",
        settings={},
        seed=0,
        minutes=1,
        environment={},
        labels=tuple(LabelUsed(image_id=image, side="train", sha256="") for image in images),
        epochs=(),
        suspected=(SuspectedLabel(image_id="P9_CP", sha256="", became="hold", weight=0.0, why="shifted"),),
    )
    found = VersionRecord(
        code="CP",
        version=version,
        sha256=file_sha256(weights),
        created=version,
        source=source,
        training=training if source == "trained" else None,
        decision={},
    )
    write_record(found, weights.parent)


def test_a_version_knows_what_it_and_those_before_it_learned_from(tmp_path: Path, monkeypatch) -> None:
    models = ModelFolder(shipped=tmp_path / "shipped", live=tmp_path / "live")
    write_bytes(b"shipped", models.shipped_file("CP"))
    ships = f"CP-{file_sha256(models.shipped_file('CP'))[:12]}"
    record(models, "a", ships, ["P1_CP"])
    record(models, "b", "a", ["P2_CP"])
    monkeypatch.setattr(
        "lib.loop.witnesses.version_in", lambda path, _: path.stem if path.parent.name == "versions" else ships
    )
    monkeypatch.setattr(ModelFolder, "find", lambda self, code: self.weights(code, "b"))
    found = lineage(models, "CP")
    assert [(one.version, set(one.learned_from)) for one in found] == [
        ("b", {"P1_CP", "P2_CP"}),
        ("a", {"P1_CP"}),
        (ships, set()),
    ]
    assert models.record("b").training.suspected[0].image_id == "P9_CP"
    write_bytes(b"tampered", models.weights("CP", "a"))
    assert [one.version for one in lineage(models, "CP")] == ["b", ships]
    record(models, "a", "", [], source="adopted")
    assert [one.version for one in lineage(models, "CP")] == [ships]
