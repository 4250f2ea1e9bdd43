"""Look at many images: measures and finder features of each, remembered beside the report."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from lib.domain.errors import RenalError
from lib.domain.records import CaseRecord, scanner_name
from lib.imaging.sidecar import read_object, read_sidecar
from lib.imaging.volume import Volume, read_volume, write_bytes
from lib.onboarding.distribution import Looked
from lib.onboarding.protocol import measure_protocol

logger = logging.getLogger(__name__)

Features = Callable[[Volume], Sequence[float]]
_SAVED_EVERY = 20
NO_FEATURES: Features = lambda _: ()  # noqa: E731


def look(image: Path, record: CaseRecord, features: Features = NO_FEATURES) -> Looked:
    """Measure one image.

    Raises:
        BadImageError: When it cannot be read.
    """
    volume = read_volume(image)
    return Looked(
        image_id=record.image_id,
        patient_id=record.patient_id,
        sequence=record.sequence,
        scanner=scanner_name(record.vendor, record.scanner_model),
        measures=measure_protocol(volume, record, read_sidecar(image)),
        features=tuple(float(value) for value in features(volume)),
    )


def look_at_all(
    images: Iterable[tuple[CaseRecord, Path]], features: Features = NO_FEATURES, remembered: Path | None = None
) -> tuple[list[Looked], dict[str, str]]:
    """Measure images; one that cannot be read is told and the others go on.

    Args:
        images: Records with their files.
        features: Of the finder.
        remembered: File of what earlier runs measured; what is there and whose image is unchanged is not done again.

    Returns:
        What was measured, in order, and why an image was not, by id.
    """
    notes = read_object(remembered) if remembered else {}
    done, failed, unsaved = [], {}, 0
    for record, path in images:
        stamp = path.stat().st_mtime_ns
        known = _known(notes.get(record.image_id), stamp, record.sequence)
        try:
            one = known or look(path, record, features)
        except RenalError as error:
            failed[record.image_id] = f"{type(error).__name__}: {error}"
            logger.warning("an image cannot be measured: %s", failed[record.image_id])
            continue
        done.append(one)
        if known is None:
            notes[record.image_id] = {"stamp": stamp, **asdict(one)}
            unsaved += 1
        if remembered and unsaved >= _SAVED_EVERY:
            write_bytes(json.dumps(notes).encode(), remembered)
            unsaved = 0
    if remembered and unsaved:
        write_bytes(json.dumps(notes).encode(), remembered)
    return done, failed


def _known(note: object, stamp: int, code: str) -> Looked | None:
    if not isinstance(note, Mapping) or (note.get("stamp"), note.get("sequence")) != (stamp, code):
        return None
    fields = {name: value for name, value in note.items() if name != "stamp"}
    return Looked(**{**fields, "features": tuple(fields["features"])})
