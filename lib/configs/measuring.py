"""Measuring the images that wait, assembled: which images, whose proposals, and where the scores go."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from pathlib import Path

from lib.domain.sequences import SEQUENCES
from lib.infers.sequence import SequenceInfer
from lib.infers.waiting import key_of
from lib.loop.measure import Measured, MeasureWaiting, Sources
from lib.registry.models import FINDER, RECOGNISER, ModelFolder
from lib.store.datastore import CohortDatastore
from lib.store.scores import scored_from, waiting_examinations, write_scores


def measure_waiting(datastore: CohortDatastore, task: SequenceInfer, models: ModelFolder) -> MeasureWaiting:
    """What the server does beside its requests, one round a call.

    Args:
        datastore: Of the images.
        task: Whose proposals are measured.
        models: The weights.
    """
    store = datastore.store

    def path(image_id: str) -> Path:
        return store.image_path(image_id)

    def state() -> Hashable:
        return store.folder.stamp().images, key_of([models.find(code) for code in (*SEQUENCES, FINDER, RECOGNISER)])

    def made_from(images: Sequence[str]) -> str:
        return key_of([], *(task.made_from(path(image_id), store.shown(image_id)) for image_id in images))

    def propose(image_id: str) -> Measured:
        found = task.proposal(path(image_id), datastore.get_image_info(image_id))
        return Measured(label=found.label, uncertainty=found.uncertainty, model_version=found.model_version)

    return MeasureWaiting(
        Sources(
            state=state,
            examinations=partial(waiting_examinations, store),
            known=partial(scored_from, store),
            made_from=made_from,
            propose=propose,
            keep=partial(write_scores, store),
        )
    )
