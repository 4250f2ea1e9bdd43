"""Scores of images that wait for a label: what was measured, on which model's proposals, and from which files.

They are written in the background and read when a reader asks for the next case.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from lib.domain.cohort import study_number
from lib.store.cohort import FINAL, CohortStore, has_label
from lib.store.index import ImageRow, ScoreRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScores:
    """What was measured on one image.

    Attributes:
        made_from: Identifies the examination's images and the weights; another one makes the scores stale.
        model_version: Of the model that proposed.
        uncertainty: By structure.
        disagreement: By structure; empty when the examination has no other image.
    """

    image_id: str
    made_from: str
    model_version: str
    uncertainty: Mapping[str, float]
    disagreement: Mapping[str, float]


def write_scores(store: CohortStore, scores: Sequence[ImageScores]) -> None:
    """Put what was measured in the place of what was there."""
    with store.index.write() as session:
        for one in scores:
            session.merge(
                ScoreRow(
                    image_id=one.image_id,
                    made_from=one.made_from,
                    model_version=one.model_version,
                    uncertainty=dict(one.uncertainty),
                    disagreement=dict(one.disagreement),
                    created_ns=time.time_ns(),
                )
            )


def scored_from(store: CohortStore) -> dict[str, str]:
    """What each image's scores were made from."""
    with store.index.read() as session:
        return {row.image_id: row.made_from for row in session.execute(select(ScoreRow.image_id, ScoreRow.made_from))}


def waiting_examinations(store: CohortStore) -> list[list[str]]:
    """Images of every examination of a patient who has an image without a final label, the labelled ones too."""
    store.follow()
    unlabelled = select(ImageRow.patient_id).where(ImageRow.present & ~has_label(FINAL))
    columns = (ImageRow.patient_id, ImageRow.study, ImageRow.image_id)
    query = select(*columns).where(ImageRow.present & ImageRow.patient_id.in_(unlabelled)).order_by(ImageRow.image_id)
    found: dict[tuple[str, str, int], list[str]] = {}
    with store.index.read() as session:
        for patient, study, image in session.execute(query):
            found.setdefault((patient, study, study_number(image)), []).append(image)
    return list(found.values())
