"""Header values that tell a sequence: the same record from a DICOM data set, a sidecar or DICOMweb JSON.

Reading is lenient: a value that is broken or absent is missing, never an error. Nothing here identifies a patient.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pydicom
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence

from lib.domain.scanners import UNKNOWN_VENDOR, vendor_of

DAY_S = 86_400.0

_Values = Callable[[int], list[object]]
"""Values of a tag, e.g. ``0x00180080``; empty when it is absent or unreadable."""

_SHARED_GROUPS, _FRAME_GROUPS = 0x52009229, 0x52009230  # where enhanced MR keeps what older images have on top
_MAX_DEPTH = 6
_GE_B_VALUE_OFFSET = 1_000_000_000
_TEXT_LENGTH = 256
_ADDED_CODES = ("GEMS", "MAGNITUDE")
_UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    RecursionError,
    struct.error,
)
_PRIVATE_B_VALUE = {"GE": 0x00431039, "Siemens": 0x0019100C, "Philips": 0x20011003, "UIH": 0x00651009}
_PRIVATE_SEQUENCE_NAME = {"GE": 0x0019109C, "Philips": 0x20011020}
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2}(?:\.\d*)?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesHeader:
    """What recognition reads of one series, or of one phase of it; empty text or None is missing.

    Attributes:
        manufacturer: The vendor's name in VENDORS, else the text of the header.
        image_type: Split at ``_``, as are the other codes, and without GE's ``_GEMS`` endings.
        sequence_name: Name of the pulse sequence; GE's and Philips's are private and say the most.
        b_value: Largest b-value in s/mm²; 0 when the header states that there is none.
        temporal_positions: Phases in the series.
        temporal_position: Which of them this is, from 1.
        contrast_agent: As written, so it may say that none was given.
        contrast_time_s: Start of the injection, in seconds of the day, as are the other times.
    """

    manufacturer: str = ""
    model: str = ""
    modality: str = ""
    sop_class: str = ""
    body_part: str = ""
    series_description: str = ""
    protocol_name: str = ""
    series_number: int | None = None
    image_type: tuple[str, ...] = ()
    scanning_sequence: tuple[str, ...] = ()
    sequence_variant: tuple[str, ...] = ()
    scan_options: tuple[str, ...] = ()
    sequence_name: str = ""
    mr_acquisition_type: str = ""
    tr_ms: float | None = None
    te_ms: float | None = None
    ti_ms: float | None = None
    flip_deg: float | None = None
    echo_train_length: int | None = None
    b_value: float | None = None
    slice_thickness_mm: float | None = None
    number_of_images: int | None = None
    temporal_positions: int | None = None
    temporal_position: int | None = None
    contrast_agent: str = ""
    contrast_time_s: float | None = None
    series_time_s: float | None = None
    acquisition_time_s: float | None = None
    content_time_s: float | None = None
    trigger_time_ms: float | None = None


def header_of_dataset(ds: pydicom.Dataset) -> SeriesHeader:
    """Read a DICOM data set, classic or enhanced; of an enhanced image the first frame counts."""
    frame = _first_item(ds, _SHARED_GROUPS) + _first_item(ds, _FRAME_GROUPS)

    def values(tag: int) -> list[object]:
        return _dataset_values(ds, tag) or next((found for group in frame if (found := _nested(group, tag))), [])

    return _header(values)


def header_of_dicomweb(item: Mapping[str, object]) -> SeriesHeader:
    """Read one object of the DICOM JSON model, with tags such as ``"00180080"`` as keys."""

    def values(tag: int) -> list[object]:
        found = _json_values(item, tag)
        for group in (_SHARED_GROUPS, _FRAME_GROUPS):
            found = found or next((deep for part in _json_values(item, group)[:1] if (deep := _deep(part, tag))), [])
        return found

    return _header(values)


def header_of_sidecar(sidecar: Mapping[str, object]) -> SeriesHeader:
    """Read a sidecar as dcm2niix writes it: BIDS names, seconds; further DICOM keywords are taken where present."""

    def text(*names: str) -> str:
        return next((found for name in names if (found := _text(_listed(sidecar.get(name))))), "")

    def number(name: str, scale: float = 1.0) -> float | None:
        return _number(_listed(sidecar.get(name)), scale)

    def count(name: str) -> int | None:
        return _count(_listed(sidecar.get(name)))

    def time_s(name: str) -> float | None:
        return _time_s(_listed(sidecar.get(name)))

    return SeriesHeader(
        manufacturer=_vendor(text("Manufacturer")),
        model=text("ManufacturersModelName"),
        modality=text("Modality"),
        sop_class=text("SOPClassUID"),
        body_part=text("BodyPartExamined", "BodyPart"),
        series_description=text("SeriesDescription"),
        protocol_name=text("ProtocolName"),
        series_number=count("SeriesNumber"),
        image_type=_codes(_listed(sidecar.get("ImageType"))),
        scanning_sequence=_codes(_listed(sidecar.get("ScanningSequence"))),
        sequence_variant=_codes(_listed(sidecar.get("SequenceVariant"))),
        scan_options=_codes(_listed(sidecar.get("ScanOptions"))),
        sequence_name=text("SequenceName", "PulseSequenceName"),
        mr_acquisition_type=text("MRAcquisitionType"),
        tr_ms=number("RepetitionTime", 1000.0),
        te_ms=number("EchoTime", 1000.0),
        ti_ms=number("InversionTime", 1000.0),
        flip_deg=number("FlipAngle"),
        echo_train_length=count("EchoTrainLength"),
        b_value=number("DiffusionBValue"),
        slice_thickness_mm=number("SliceThickness"),
        number_of_images=count("ImagesInAcquisition"),
        temporal_positions=count("NumberOfTemporalPositions"),
        temporal_position=count("TemporalPositionIdentifier"),
        contrast_agent=text("ContrastBolusAgent"),
        contrast_time_s=time_s("ContrastBolusStartTime"),
        series_time_s=time_s("SeriesTime"),
        acquisition_time_s=time_s("AcquisitionTime"),
        content_time_s=time_s("ContentTime"),
        trigger_time_ms=number("TriggerTime"),
    )


def seconds_between(start_s: float | None, end_s: float | None) -> float | None:
    """Seconds from one time of day to a later one, over midnight if need be; None when one is missing.

    Negative when the end lies at most half a day before the start.
    """
    if start_s is None or end_s is None:
        return None
    return (end_s - start_s + DAY_S / 2) % DAY_S - DAY_S / 2


def _header(values: _Values) -> SeriesHeader:
    vendor = _vendor(_text(values(0x00080070)))
    return SeriesHeader(
        manufacturer=vendor,
        model=_text(values(0x00081090)),
        modality=_text(values(0x00080060)),
        sop_class=_text(values(0x00080016)),
        body_part=_text(values(0x00180015)),
        series_description=_text(values(0x0008103E)),
        protocol_name=_text(values(0x00181030)),
        series_number=_count(values(0x00200011)),
        image_type=_codes(values(0x00080008)),
        scanning_sequence=_codes(values(0x00180020)),
        sequence_variant=_codes(values(0x00180021)),
        scan_options=_codes(values(0x00180022)),
        sequence_name=_sequence_name(values, vendor),
        mr_acquisition_type=_text(values(0x00180023)),
        tr_ms=_number(values(0x00180080)),
        te_ms=_number(values(0x00180081) or values(0x00189082)),
        ti_ms=_number(values(0x00180082)),
        flip_deg=_number(values(0x00181314)),
        echo_train_length=_count(values(0x00180091)),
        b_value=_b_value(values, vendor),
        slice_thickness_mm=_number(values(0x00180050)),
        number_of_images=_count(values(0x00201002) or values(0x00280008)),
        temporal_positions=_count(values(0x00200105)),
        temporal_position=_count(values(0x00200100) or values(0x00209128)),
        contrast_agent=_text(values(0x00180010)),
        contrast_time_s=_time_s(values(0x00181042)),
        series_time_s=_time_s(values(0x00080031)),
        acquisition_time_s=_time_s(values(0x00080032)) or _moment_s(values(0x0008002A)),
        content_time_s=_time_s(values(0x00080033)),
        trigger_time_ms=_number(values(0x00181060)),
    )


def _sequence_name(values: _Values, vendor: str) -> str:
    private = _text(values(_PRIVATE_SEQUENCE_NAME[vendor])) if vendor in _PRIVATE_SEQUENCE_NAME else ""
    return private or _text(values(0x00180024)) or _text(values(0x00189005))


def _b_value(values: _Values, vendor: str) -> float | None:
    found = values(0x00189087) or (values(_PRIVATE_B_VALUE[vendor]) if vendor in _PRIVATE_B_VALUE else [])
    b_value = _number(found)
    return b_value % _GE_B_VALUE_OFFSET if b_value is not None and vendor == "GE" else b_value


def _vendor(manufacturer: str) -> str:
    vendor = vendor_of(manufacturer)
    return manufacturer if vendor == UNKNOWN_VENDOR else vendor


def _dataset_values(ds: pydicom.Dataset, tag: int) -> list[object]:
    try:
        return _listed(ds[tag].value) if tag in ds else []
    except _UNREADABLE:
        return []


def _first_item(ds: pydicom.Dataset, tag: int) -> list[pydicom.Dataset]:
    return [item for item in _dataset_values(ds, tag)[:1] if isinstance(item, pydicom.Dataset)]


def _nested(ds: pydicom.Dataset, tag: int, depth: int = 0) -> list[object]:
    """Values of a tag in a functional group, or in the first item of any sequence in it."""
    found = _dataset_values(ds, tag)
    if found or depth == _MAX_DEPTH:
        return found
    inner = [item for key in list(ds.keys()) for item in _first_item(ds, int(key))]
    return next((deep for item in inner if (deep := _nested(item, tag, depth + 1))), [])


def _json_values(item: Mapping[str, object], tag: int) -> list[object]:
    element = item.get(f"{tag:08X}", item.get(f"{tag:08x}"))
    if not isinstance(element, Mapping):
        return []
    if isinstance(binary := element.get("InlineBinary"), str):
        try:
            return _listed(base64.b64decode(binary, validate=True))
        except (binascii.Error, ValueError):
            return []
    return _listed(element.get("Value"))


def _deep(item: object, tag: int, depth: int = 0) -> list[object]:
    if not isinstance(item, Mapping) or depth > _MAX_DEPTH:
        return []
    if found := _json_values(item, tag):
        return found
    elements = [element for element in item.values() if isinstance(element, Mapping)]
    inner = [value[0] for element in elements if isinstance(value := element.get("Value"), list) and value]
    return next((deep for part in inner if (deep := _deep(part, tag, depth + 1))), [])


def _listed(value: object) -> list[object]:
    """Any value as a list, split where a text holds several, without empty ones."""
    if isinstance(value, bytes):
        value = value.decode("ascii", errors="replace").strip("\0 ")
    if isinstance(value, str):
        value = value.split("\\")
    several = isinstance(value, list | tuple | MultiValue | DicomSequence)
    parts: Iterable[object] = value if several and isinstance(value, Iterable) else [value]
    return [part for part in parts if part is not None and part != ""]


def _text(values: list[object]) -> str:
    """The values as one line of printable text."""
    joined = "\\".join(str(value) for value in values if not isinstance(value, Mapping | pydicom.Dataset))
    return " ".join("".join(sign if sign.isprintable() else " " for sign in joined).split())[:_TEXT_LENGTH]


def _codes(values: list[object]) -> tuple[str, ...]:
    """Distinct upper-case codes, split at ``_`` as dcm2niix does, without what GE and dcm2niix add to them."""
    parts = (part.strip().upper() for value in values for part in re.split(r"[\\_]", str(value)))
    return tuple(dict.fromkeys(part for part in parts if part and part not in _ADDED_CODES))


def _number(values: list[object], scale: float = 1.0) -> float | None:
    try:
        number = float(str(values[0]).strip()) * scale
    except (ValueError, IndexError):
        return None
    return round(number, 3) if math.isfinite(number) else None


def _count(values: list[object]) -> int | None:
    number = _number(values)
    return None if number is None else int(number)


def _time_s(values: list[object]) -> float | None:
    """Seconds of the day of a DICOM or ISO time, e.g. ``114815.25`` or ``11:48:15.25``."""
    found = _TIME.fullmatch(str(values[0]).strip()) if values else None
    if not found:
        return None
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    time_s = hours * 3600 + minutes * 60 + seconds
    return time_s if time_s < DAY_S else None


def _moment_s(values: list[object]) -> float | None:
    """Seconds of the day of a DICOM date-time, e.g. ``20180918114815.25+0100``."""
    moment = re.split(r"[+-]", str(values[0]))[0] if values else ""
    return _time_s([moment[8:]]) if moment[:8].isdigit() and len(moment) > len("YYYYMMDD") else None
