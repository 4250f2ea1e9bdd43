"""The cohort folder on disk: what lies where, when it changed, and the lock that its writers share.

``.renal/`` is ours: ``store.sqlite`` (the index), ``labels/`` (every version of every label), ``removed/`` (images and
labels that were taken out), ``waiting/`` (proposals made ahead of their readers), ``lock``. Everything else is the
cohort folder as DESIGN section 3 has it.
"""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from lib.domain.cohort import COHORT_TABLE, parse_cohort
from lib.domain.errors import BadCohortError, BadRequestError
from lib.domain.ledger import IMPORTED, LEDGER, SeriesRow, read_ledger
from lib.domain.records import CaseRecord
from lib.imaging.volume import NIFTI_SUFFIXES, image_stem, write_bytes

logger = logging.getLogger(__name__)

OWN = ".renal"
LABELS = "labels"
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SETTLED_NS = 100_000_000  # a folder that changed later than this may change again within one tick of its clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """When things changed last; equal stamps, the same content.

    Attributes:
        images: Of the folder, its table and its record of imports.
        labels: Of every label folder.
    """

    images: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def settled(self) -> bool:
        """Whether a change just now would show."""
        return max((*self.images, *self.labels)) < time.time_ns() - _SETTLED_NS


class CohortFolder:
    """Paths and listings; knows nothing of the index."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.own.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.own / "lock")

    @property
    def own(self) -> Path:
        """What this app keeps beside the cohort."""
        return self.root / OWN

    def identity(self) -> str:
        """A random name that the folder keeps, so that a database is never used on another one."""
        path = self.own / "cohort-id"
        with self.lock:
            if not path.is_file():
                write_bytes(uuid.uuid4().hex.encode(), path)
            return path.read_text().strip()

    def stamp(self) -> Stamp:
        """Look at the clock of everything that is listed."""
        tables = [self.root / name for name in (COHORT_TABLE, LEDGER)]
        return Stamp(
            images=(self.root.stat().st_mtime_ns, *(path.stat().st_mtime_ns for path in tables if path.is_file())),
            labels=tuple(
                path.stat().st_mtime_ns for path in (self.root / LABELS, *self._label_folders()) if path.is_dir()
            ),
        )

    def images(self) -> dict[str, str]:
        """File name by image id."""
        return {
            image_stem(Path(entry.name)): entry.name
            for entry in sorted(os.scandir(self.root), key=lambda entry: entry.name)
            if entry.name.endswith(NIFTI_SUFFIXES) and not entry.name.startswith(".") and entry.is_file()
        }

    def table(self) -> dict[str, CaseRecord]:
        """Rows of ``cohort.csv`` by image id; none without the file.

        Raises:
            BadCohortError: When the table cannot be used.
        """
        path = self.root / COHORT_TABLE
        return {row.image_id: row for row in parse_cohort(path.read_text("utf-8"))} if path.is_file() else {}

    def imports(self) -> dict[str, SeriesRow]:
        """What ``import.json`` says of the series that images were made from, by image id; nothing without the file."""
        try:
            rows = read_ledger(self.root).rows.values()
        except BadCohortError as error:
            logger.warning("how images were recognised is not taken over: %s", error)
            return {}
        return {row.image_id: row for row in rows if row.status == IMPORTED}

    def labels(self) -> dict[tuple[str, str], os.stat_result]:
        """Label files by (tag, image id)."""
        return {
            (folder.name, image_stem(Path(entry.name))): entry.stat()
            for folder in self._label_folders()
            for entry in os.scandir(folder)
            if entry.name.endswith(NIFTI_SUFFIXES) and not entry.name.startswith(".") and entry.is_file()
        }

    def label(self, tag: str, image_id: str) -> Path:
        """Where the label that counts is shown to other programs."""
        folder = self.root / LABELS / checked_tag(tag)
        plain = folder / f"{image_id}{NIFTI_SUFFIXES[1]}"
        return plain if plain.is_file() else folder / f"{image_id}{NIFTI_SUFFIXES[0]}"

    def label_record(self, tag: str, image_id: str) -> Path:
        """Where it is shown what is known of that label."""
        return self.root / LABELS / checked_tag(tag) / f"{image_id}.json"

    def version(self, file: str) -> Path:
        """Where a version lies for ever."""
        return self.own / LABELS / file

    def _label_folders(self) -> list[Path]:
        labels = self.root / LABELS
        found = sorted(labels.iterdir()) if labels.is_dir() else []
        return [path for path in found if _TAG.fullmatch(path.name) and path.is_dir()]


def checked_tag(tag: str) -> str:
    """Return the tag when it is safe as a folder's name.

    Raises:
        BadRequestError: When it is not.
    """
    if not _TAG.fullmatch(tag):
        msg = "the label tag has characters outside letters, digits, '-' and '_'"
        raise BadRequestError(msg)
    return tag
