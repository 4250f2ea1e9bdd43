"""Who made a label, as DICOM wants to know it; the same label always gives the same object, byte for byte."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from highdicom import AlgorithmIdentificationSequence
from pydicom.dataset import Dataset
from pydicom.sr import codedict
from pydicom.uid import UID, generate_uid

import lib.ingest.highdicom_fit  # noqa: F401 - before highdicom is used
from lib import __version__
from lib.domain.errors import BadRequestError

codes: Any = codedict.codes  # its names are looked up when they are used
APP = "renal-loop"
_UTF8 = "ISO_IR 192"
MANUAL, SEMIAUTOMATIC, AUTOMATIC = "MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"
EQUIPMENT = {
    "manufacturer": APP,
    "manufacturer_model_name": APP,
    "software_versions": __version__,
    "device_serial_number": "0",
}
_READER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VERSION = re.compile(r"[\w .:+-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a label comes from.

    Attributes:
        made: When it was accepted or proposed.
        reader: Id that stands for the reader; empty for a proposal that nobody has looked at.
        model: Task of the model that proposed it, e.g. ``segment_CP``; empty when it was drawn from nothing.
        model_version: Version of that model.

    Raises:
        BadRequestError: When nobody made it, or a text is one that an id or a version cannot be.
    """

    made: datetime
    reader: str = ""
    model: str = ""
    model_version: str = ""

    def __post_init__(self) -> None:
        if not (self.reader or self.model_version):
            msg = "the label names neither a reader nor a model version; expected one of them"
            raise BadRequestError(msg)
        if self.reader and not _READER.fullmatch(self.reader):
            msg = "the reader's id has characters outside letters, digits, '-' and '_'; expected an id, not a name"
            raise BadRequestError(msg)
        if any(text and not _VERSION.fullmatch(text) for text in (self.model, self.model_version)):
            msg = "the model or its version has characters that DICOM has no place for, or is over 64 long"
            raise BadRequestError(msg)

    @property
    def algorithm_type(self) -> str:
        """What DICOM calls it: a proposal, a corrected proposal, or drawn by hand."""
        return MANUAL if not self.model_version else SEMIAUTOMATIC if self.reader else AUTOMATIC

    @property
    def person_name(self) -> str | None:
        """The reader's id as a person name of one component."""
        return f"{self.reader}^" if self.reader else None

    def identification(self) -> AlgorithmIdentificationSequence | None:
        """The model; None for a label that was drawn by hand."""
        if not self.model_version:
            return None
        return AlgorithmIdentificationSequence(
            name=self.model or APP,
            family=codes.cid7162.ArtificialIntelligence,
            version=self.model_version,
            source=APP,
        )

    def stamp(self, dataset: Dataset) -> None:
        """Put the label's own time wherever a library wrote the clock's, and say how names are encoded."""
        dataset.SpecificCharacterSet = _UTF8
        date, time = f"{self.made:%Y%m%d}", f"{self.made:%H%M%S.%f}"
        for keyword in ("InstanceCreationDate", "SeriesDate", "ContentDate"):
            setattr(dataset, keyword, date)
        for keyword in ("InstanceCreationTime", "SeriesTime", "ContentTime"):
            setattr(dataset, keyword, time)


def uid_of(*parts: str) -> UID:
    """A UID that follows from what it stands for: an object that is sent twice is one object."""
    return generate_uid(entropy_srcs=[APP, *(f"\0{part}" for part in parts)])
