"""The images of a cohort folder, as the index knows them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, select, update

from lib.domain.audit import Record, off_the_record
from lib.domain.errors import BadRequestError, UnknownImageError
from lib.domain.records import CaseRecord, check_image_id
from lib.imaging.volume import Grid, read_grid, read_volume, write_volume
from lib.store.folder import CohortFolder, Stamp
from lib.store.index import ImageRow, Index, storage_errors
from lib.store.legacy import import_legacy
from lib.store.listing import origin, shown_images
from lib.store.sync import follow_images, follow_labels


class ImageStore:
    """Safe to share between threads; any number of processes may open the same folder."""

    def __init__(self, root: Path, url: str = "", record: Record = off_the_record) -> None:
        """Open a folder, and take in what it holds.

        Args:
            root: Cohort folder, or a MONAI Label studies folder; made when it does not exist.
            url: Database as SQLAlchemy writes it; SQLite inside the folder when empty.
            record: Takes what is to be in the audit log.

        Raises:
            BadCohortError: When the table cannot be used, or the database is another cohort's.
            StorageError: When folder or database cannot be written.
        """
        with storage_errors():
            self.folder = CohortFolder(root)
            with self.folder.lock:
                self.index = Index(url or f"sqlite:///{self.folder.own / 'store.sqlite'}", self.folder.identity())
        self._record_events = record
        self._seen: Stamp | None = None
        self._looking = Lock()
        self.follow()
        import_legacy(self.index, self.folder)

    def close(self) -> None:
        """Let go of the database."""
        self.index.close()

    def follow(self) -> None:
        """See what changed in the folder since the last call; cheap when nothing did."""
        with self._looking, storage_errors():
            stamp, seen = self.folder.stamp(), self._seen
            if stamp == seen:
                return
            if seen is None or stamp.images != seen.images:
                follow_images(self.index, self.folder)
            follow_labels(self.index, self.folder, self._record_events)
            self._seen = stamp if stamp.settled else None

    def shown(self, image_id: str) -> dict[str, Any]:
        """What clients are shown of an image, with where it comes from.

        Raises:
            UnknownImageError: When no image has this id.
        """
        row = self.image(image_id)
        with self.index.read() as session:
            shown = next(shown_images(session, self.folder.root, ImageRow.image_id == image_id))
        return {**shown, **origin(row)}

    def records(self) -> dict[str, CaseRecord]:
        """Every image by id, as ``cohort.csv`` describes it; by its file name where the table has no row."""
        self.follow()
        with self.index.read() as session:
            rows = session.scalars(select(ImageRow).where(ImageRow.present).order_by(ImageRow.image_id)).all()
        return {row.image_id: record_from(row) for row in rows}

    def image_ids(self) -> list[str]:
        """Ids of all images, sorted."""
        return self._ids(ImageRow.present.is_(True))

    def image(self, image_id: str) -> ImageRow:
        """One image's row.

        Raises:
            UnknownImageError: When no image has this id.
        """
        self.follow()
        with self.index.read() as session:
            row = session.get(ImageRow, image_id) if _plain(image_id) else None
        if row is None or not row.present:
            msg = "no image has this id; expected one of the ids that /datastore lists"
            raise UnknownImageError(msg)
        return row

    def image_path(self, image_id: str) -> Path:
        """An image's file.

        Raises:
            UnknownImageError: When no image has this id.
        """
        return self.folder.root / self.image(image_id).file

    def grid(self, image_id: str) -> Grid:
        """Where an image's voxels lie; read from the file once.

        Raises:
            UnknownImageError: When no image has this id.
            BadImageError: When the file is not an image.
        """
        row = self.image(image_id)
        changed_ns = (self.folder.root / row.file).stat().st_mtime_ns
        grid = self.measure(row)
        if row.measured_ns != changed_ns:
            values = {"shape": list(grid.shape), "affine": grid.affine.ravel().tolist(), "measured_ns": changed_ns}
            with self.index.write() as session:
                session.execute(update(ImageRow).where(ImageRow.image_id == image_id).values(**values))
        return grid

    def measure(self, row: ImageRow) -> Grid:
        """Where an image's voxels lie: as the index has it when the file has not changed since, else from the file.

        Raises:
            BadImageError: When the file is not an image.
        """
        path = self.folder.root / row.file
        if row.shape and row.affine and row.measured_ns == path.stat().st_mtime_ns:
            return _grid(row.shape, row.affine)
        return read_grid(path)

    def merge_info(self, image_id: str, info: Mapping[str, Any]) -> None:
        """Add a client's entries to an image.

        Raises:
            UnknownImageError: When no image has this id.
        """
        self.image(image_id)
        with self.index.write() as session:
            row = session.get_one(ImageRow, image_id)
            row.info = {**row.info, **info}

    def add_image(self, image_id: str, file: Path, info: Mapping[str, Any]) -> None:
        """Copy an image into the folder.

        Raises:
            BadCohortError: When the id is unsafe.
            BadRequestError: When the id is taken.
            BadImageError: When the file is not a usable image.
            StorageFullError: When there is no room.
        """
        check_image_id(image_id)
        volume = read_volume(file)
        with storage_errors(), self.folder.lock:
            if image_id in self.folder.images():
                msg = "an image with this id exists; expected a new id"
                raise BadRequestError(msg)
            write_volume(volume, self.folder.root / f"{image_id}.nii.gz")
        if info:
            self.merge_info(image_id, info)

    def _take_out(self, row: ImageRow) -> None:
        with storage_errors(), self.folder.lock:
            aside = self.folder.own / "removed"
            aside.mkdir(exist_ok=True)
            (self.folder.root / row.file).replace(aside / f"{time.time_ns()}-{row.file}")
        self.follow()

    def _ids(self, which: ColumnElement[bool]) -> list[str]:
        self.follow()
        with self.index.read() as session:
            return list(session.scalars(select(ImageRow.image_id).where(which).order_by(ImageRow.image_id)))


def record_from(row: ImageRow) -> CaseRecord:
    """What crosses folder boundaries of an image's row."""
    return CaseRecord(
        image_id=row.image_id,
        patient_id=row.patient_id,
        sequence=row.sequence,
        centre=row.centre,
        vendor=row.vendor,
        scanner_model=row.scanner_model,
        field_t=row.field_t,
        clinical=dict(row.clinical),
    )


def _plain(text: str) -> bool:
    return text.isprintable() and "/" not in text and "\\" not in text and ".." not in text


def _grid(shape: list[int], affine: list[float]) -> Grid:
    i, j, k = shape
    return Grid(shape=(i, j, k), affine=np.array(affine).reshape(4, 4))
