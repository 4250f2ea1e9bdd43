"""The headers of a folder, one record a slice; pixels are not read here.

Reading is lenient: a value that cannot be read is absent, and it is for the checks to miss it.
"""

from __future__ import annotations

import logging
import math
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

MR_IMAGE, ENHANCED_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
DICOM_FOLDER_INDEX = "1.2.840.10008.1.3.10"
UNREADABLE = (
    InvalidDicomError, OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    ArithmeticError, NotImplementedError, RecursionError, struct.error,
)  # fmt: skip
_PREAMBLE, _MAGIC = 128, b"DICM"
_FIRST_GROUPS = (0x0008, 0x0002)  # how a file without a preamble starts
_FIRST_ELEMENTS, _FIRST_LENGTH = 0x20, 256
_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "Modality", "StudyDate",
    "SeriesNumber", "InstanceNumber", "ImageType", "Rows", "Columns", "PixelSpacing", "NumberOfFrames",
    "ImagePositionPatient", "ImageOrientationPatient", "ImagesInAcquisition", "TemporalPositionIdentifier",
    "AcquisitionNumber", "TriggerTime", "AcquisitionTime", "EchoTime", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "TransferSyntaxUID", "SpecificCharacterSet",
]  # fmt: skip
Progress = Callable[[str, int, int], None]
NO_PATH = Path()  # of a slice that comes from no file


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One image, or one frame of an enhanced file; empty, None or () where the header does not say.

    Attributes:
        frame: Number of the frame from 0; None in a classic file.
        size: Rows and columns.
        pixel_mm: Distance of the rows, and of the columns.
        position_lps: Of the first pixel, in mm.
        orientation_lps: Directions of a row and of a column, six cosines.
        announced: Images in the acquisition, as the header says.
        phase: Values that may tell phases apart, by keyword.
    """

    path: Path
    frame: int | None = None
    sop_uid: str
    sop_class: str
    study_uid: str
    series_uid: str
    patient_id: str
    modality: str
    study_date: str
    series_number: int | None
    size: tuple[int, ...]
    pixel_mm: tuple[float, ...]
    position_lps: tuple[float, ...]
    orientation_lps: tuple[float, ...]
    announced: int | None
    image_type: tuple[str, ...]
    phase: dict[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What lies in a folder.

    Attributes:
        damaged: Files that start like DICOM and cannot be read.
        damaged_numbers: Their numbers from 1, among all files in sorted order.
        not_dicom: How many files are something else.
    """

    slices: tuple[Slice, ...]
    damaged: tuple[Path, ...]
    damaged_numbers: tuple[int, ...]
    not_dicom: int


def scan_files(paths: Sequence[Path], on_progress: Progress) -> Scan:
    """Read the header of every file that looks like DICOM."""
    slices: list[Slice] = []
    damaged: dict[int, Path] = {}
    not_dicom = 0
    for number, path in enumerate(paths, start=1):
        try:
            found = read_slices(path)
        except UNREADABLE:
            damaged[number] = path
        else:
            slices += found or []
            not_dicom += found is None
        on_progress("reading headers", number, len(paths))
    return Scan(
        slices=tuple(slices),
        damaged=tuple(damaged.values()),
        damaged_numbers=tuple(damaged),
        not_dicom=not_dicom,
    )


def read_slices(path: Path) -> list[Slice] | None:
    """Read one file; None when it is not DICOM, or only a disc's index.

    Raises:
        OSError: When it cannot be opened; any of UNREADABLE when it is damaged.
    """
    if not looks_like_dicom(path):
        return None
    with quiet_pydicom():
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS), force=True)
        if header.file_meta.get("MediaStorageSOPClassUID") == DICOM_FOLDER_INDEX:
            return None
        if not (header.get("StudyInstanceUID") and header.get("SeriesInstanceUID") and header.get("SOPClassUID")):
            raise InvalidDicomError
        return slices_of(header, path)


def slices_of(header: Dataset, path: Path = NO_PATH) -> list[Slice]:
    """The slices of one image: one of a classic image, one a frame of an enhanced one.

    Raises:
        Any of UNREADABLE, when the header is damaged.
    """
    if header.get("PerFrameFunctionalGroupsSequence"):
        return [_frame(header, path, number) for number in range(len(header.PerFrameFunctionalGroupsSequence))]
    return [_slice(path, header, header)]


def looks_like_dicom(path: Path) -> bool:
    """Whether a file has DICOM's mark, or at least starts with an element that is first in an image."""
    with path.open("rb") as file:
        start = file.read(_PREAMBLE + len(_MAGIC))
    if start[_PREAMBLE:] == _MAGIC:
        return True
    if len(start) < _PREAMBLE:
        return False
    group, element, length = struct.unpack("<HHI", start[:8])
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return group in _FIRST_GROUPS and element < _FIRST_ELEMENTS and (explicit or length <= _FIRST_LENGTH)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from printing values: its warnings quote them, and they may be a name."""
    logger, mode = logging.getLogger("pydicom"), config.settings.reading_validation_mode
    disabled = logger.disabled
    logger.disabled, config.settings.reading_validation_mode = True, config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled, config.settings.reading_validation_mode = disabled, mode


def _slice(path: Path, top: Dataset, image: Dataset, frame: int | None = None) -> Slice:
    return Slice(
        path=path,
        frame=frame,
        sop_uid=_text(top, "SOPInstanceUID"),
        sop_class=_text(top, "SOPClassUID"),
        study_uid=_text(top, "StudyInstanceUID"),
        series_uid=_text(top, "SeriesInstanceUID"),
        patient_id=_text(top, "PatientID"),
        modality=_text(top, "Modality"),
        study_date=_text(top, "StudyDate"),
        series_number=_count(top, "SeriesNumber"),
        size=tuple(int(number) for number in _numbers(top, "Rows") + _numbers(top, "Columns")),
        pixel_mm=_numbers(image, "PixelSpacing"),
        position_lps=_numbers(image, "ImagePositionPatient"),
        orientation_lps=_numbers(image, "ImageOrientationPatient"),
        announced=_count(top, "ImagesInAcquisition"),
        image_type=tuple(value.strip().upper() for value in _values(image, "ImageType") or _values(top, "ImageType")),
        phase=_phase(image),
    )


def _frame(header: Dataset, path: Path, number: int) -> Slice:
    """Gather what one frame of an enhanced file says of itself, on its own or through what all share."""
    image = Dataset()
    for groups in (header.get("SharedFunctionalGroupsSequence", []), header.PerFrameFunctionalGroupsSequence):
        own = groups[number] if groups is header.PerFrameFunctionalGroupsSequence else next(iter(groups), Dataset())
        for element in own:
            if element.VR == "SQ" and len(element.value):
                image.update(element.value[0])
    for classic, enhanced in _ENHANCED.items():
        if enhanced in image:
            setattr(image, classic, image[enhanced].value)
    return _slice(path, header, image, number)


_ENHANCED = {
    "ImageType": "FrameType",
    "TemporalPositionIdentifier": "TemporalPositionIndex",
    "AcquisitionNumber": "FrameAcquisitionNumber",
    "TriggerTime": "NominalCardiacTriggerDelayTime",
    "EchoTime": "EffectiveEchoTime",
}


def _phase(image: Dataset) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for keyword in ("TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime", "EchoTime"):
        if numbers := _numbers(image, keyword):
            found[keyword] = round(numbers[0], 3)
    if time := _text(image, "AcquisitionTime") or _text(image, "FrameAcquisitionDateTime"):
        found["AcquisitionTime"] = time
    return found


def _values(dataset: Dataset, keyword: str) -> list[str]:
    try:
        value = dataset.get(keyword)
    except UNREADABLE:
        return []
    if value is None or value == "":
        return []
    return [str(value)] if isinstance(value, str | bytes) or not hasattr(value, "__iter__") else [str(v) for v in value]


def _text(dataset: Dataset, keyword: str) -> str:
    return "\\".join(_values(dataset, keyword)).strip()


def _numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in _values(dataset, keyword))
    except ValueError:
        return ()
    return numbers if all(math.isfinite(number) for number in numbers) else ()


def _count(dataset: Dataset, keyword: str) -> int | None:
    numbers = _numbers(dataset, keyword)
    return int(numbers[0]) if numbers else None
