"""When labels arrived, without reading or checking them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from lib.domain.records import scanner_name
from lib.store.cohort import FINAL, CohortStore
from lib.store.index import HeadRow, ImageRow, VersionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """The final label of an image.

    Attributes:
        sha256: Of its present version, hexadecimal.
        scanner: Vendor and model; empty when unknown.
        arrived_ns: When its present version came, in nanoseconds since 1970.
    """

    image_id: str
    sha256: str
    patient_id: str
    sequence: str
    scanner: str
    arrived_ns: int


def arrivals(store: CohortStore) -> list[Arrival]:
    """Every final label that counts and was not refused."""
    store.follow()
    image = (ImageRow.image_id, ImageRow.patient_id, ImageRow.sequence, ImageRow.vendor, ImageRow.scanner_model)
    query = (
        select(*image, VersionRow.sha256, VersionRow.created_ns)
        .join(HeadRow, HeadRow.image_id == ImageRow.image_id)
        .join(VersionRow, VersionRow.id == HeadRow.version_id)
        .where(ImageRow.present & (HeadRow.tag == FINAL) & VersionRow.refused.is_(None))
    )
    with store.index.read() as session:
        return [
            Arrival(
                image_id=image_id,
                sha256=sha256,
                patient_id=patient,
                sequence=sequence,
                scanner=scanner_name(vendor, model),
                arrived_ns=arrived,
            )
            for image_id, patient, sequence, vendor, model, sha256, arrived in session.execute(query)
        ]
