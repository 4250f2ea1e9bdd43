"""What may leave a header: everything that could name a person is cut out here, and nowhere else."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pydicom

from lib.domain.scanners import UNKNOWN_VENDOR, vendor_of
from lib.ingest.words import is_known, tokens

# Elements whose words must not be found in anything that is written.
IDENTITY_KEYWORDS = (
    "PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName", "PatientBirthDate",
    "PatientMotherBirthName", "PatientAddress", "PatientTelephoneNumbers", "IssuerOfPatientID", "AccessionNumber",
    "StudyID", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "ReferringPhysicianName",
    "PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "PhysiciansOfRecord", "RequestingPhysician",
    "OperatorsName", "InstitutionName", "InstitutionAddress", "StationName",
)  # fmt: skip
# Sidecar fields that are kept: numbers and codes about the acquisition (names as in BIDS).
NUMBERS = (
    "MagneticFieldStrength", "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "SliceThickness",
    "SpacingBetweenSlices", "EchoTrainLength",
)  # fmt: skip
CODES = ("Modality", "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "ImageType")
AGENTS = (
    "gadobutrol", "gadovist", "gadavist", "gadoterate", "gadoteric", "dotarem", "clariscan", "gadoteridol", "prohance",
    "gadobenate", "multihance", "gadoxetate", "gadoxetic", "primovist", "eovist", "gadopentetate", "magnevist",
    "gadodiamide", "omniscan", "gadopiclenol", "elucirem", "vueway", "gd", "gad", "dtpa", "eob", "bopta", "dota",
    "iv", "yes", "no", "none", "contrast", "km",
)  # fmt: skip
_CODE = re.compile(r"[A-Z0-9_ .+-]{1,32}")
_PERSON_TOKEN, _SHORT = 2, 4
_DATE = "%Y%m%d"
REMOVED = "..."


@dataclass(frozen=True, slots=True)
class Person:
    """The words and numbers that name a patient, a physician or a day; kept in memory only."""

    words: frozenset[str]

    def named_in(self, token: str) -> bool:
        """Whether a token is one of the words, or holds one of at least four letters."""
        lower = token.casefold()
        return lower in self.words or any(len(word) >= _SHORT and word in lower for word in self.words)

    def scrub(self, text: str) -> str:
        """The text with every word that names somebody replaced by dots."""
        found = [re.escape(token) for token in tokens(text) if self.named_in(token)]
        return re.sub("|".join(found), REMOVED, text) if found else text


def person_of(dataset: pydicom.Dataset) -> Person:
    """Collect the words that must not be written from a header's identifying elements."""
    words = set()
    for keyword in IDENTITY_KEYWORDS:
        value = dataset.get(keyword)
        if value in (None, ""):
            continue
        text = str(value).casefold()
        words |= {token for token in tokens(text) if len(token) >= _PERSON_TOKEN}
        words.add(text.strip())
    return Person(frozenset(word for word in words if len(word) >= _PERSON_TOKEN))


def clean_description(text: str, person: Person) -> str:
    """Keep the known words of a series description that name nobody."""
    return " ".join(token for token in tokens(text) if is_known(token) and not person.named_in(token))


def clean_reason(reason: str, sources: Iterable[str], person: Person) -> str:
    """Cut out of a sentence what it quotes of descriptions and is not protocol language."""
    unknown = {token for source in sources for token in tokens(source) if not is_known(token) or person.named_in(token)}
    for token in sorted(unknown, key=len, reverse=True):
        if len(token) >= _PERSON_TOKEN:
            reason = re.sub(rf"(?<![^\W_]){re.escape(token)}(?![^\W_])", REMOVED, reason, flags=re.IGNORECASE)
    return person.scrub(reason)


def clean_sidecar(
    sidecar: Mapping[str, object],
    *,
    description: str,
    contrast_agent: str,
    centre: str,
    study_date: str,
    shift_days: int,
    person: Person,
) -> dict[str, object]:
    """Build the sidecar that is stored, from the fields that are known to name nobody.

    Args:
        sidecar: As dcm2niix wrote it.
        description: Already cleaned.
        contrast_agent: As the header says; dcm2niix leaves it out.
        centre: Stands in for the institution.
        study_date: As DICOM writes it; left out when it is no date.
        shift_days: How far the date moves into the past.
        person: Whose words are cut out of the texts.
    """
    kept: dict[str, object] = {}
    for name in NUMBERS:
        if isinstance(value := sidecar.get(name), int | float):
            kept[name] = value
    for name in CODES:
        values = sidecar.get(name)
        codes = [code for code in (values if isinstance(values, list) else [values]) if _is_code(code, person)]
        if codes:
            kept[name] = codes if isinstance(values, list) else codes[0]
    for name in _CLEANERS:
        if isinstance(value := sidecar.get(name), str):
            kept[name] = _CLEANERS[name](value, person)
    kept["InstitutionName"] = centre
    if agent := clean_agent(contrast_agent, person):
        kept["ContrastBolusAgent"] = agent
    if description:
        kept["SeriesDescription"] = description
    if date := shifted_date(study_date, shift_days):
        kept["AcquisitionDate"] = date
    return dict(sorted(kept.items()))


def shifted_date(date: str, shift_days: int) -> str:
    """Move a DICOM date into the past, as ``YYYY-MM-DD``; empty when it is no date."""
    try:
        day = dt.datetime.strptime(date.strip(), _DATE).date()
        return (day - dt.timedelta(days=shift_days)).isoformat()
    except (ValueError, OverflowError):
        return ""


def clean_agent(text: str, person: Person) -> str:
    """Keep the names of contrast agents; any other text becomes ``CONTRAST``, since that there was some matters."""
    known = [token for token in tokens(text) if token.lower() in AGENTS and not person.named_in(token)]
    return " ".join(known) or ("CONTRAST" if text.strip() else "")


def clean_manufacturer(text: str, person: Person) -> str:
    """The manufacturer as written; the vendor's own name where the hospital's or a person's is part of it."""
    clean = person.scrub(text)
    return clean if clean == text or vendor_of(text) == UNKNOWN_VENDOR else vendor_of(text)


def clean_model(text: str, person: Person) -> str:
    """The scanner model without words that name somebody."""
    return person.scrub(text)


_CLEANERS = {
    "Manufacturer": clean_manufacturer,
    "ManufacturersModelName": clean_model,
}


def _is_code(value: object, person: Person) -> bool:
    return isinstance(value, str) and bool(_CODE.fullmatch(value)) and not person.named_in(value)
