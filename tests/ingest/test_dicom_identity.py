"""What may leave a header, and what may not."""

import csv
from pathlib import Path

import pydicom
import pytest

from lib.ingest.identity import (
    clean_agent,
    clean_description,
    clean_manufacturer,
    clean_reason,
    clean_sidecar,
    person_of,
    shifted_date,
)

NAMES = Path(__file__).parents[3] / "shared" / "data" / "headers" / "series_names.csv"


@pytest.fixture
def person():
    dataset = pydicom.Dataset()
    dataset.PatientName = "Müller-Lava^Anna Li"
    dataset.PatientID = "MRN0012345"
    dataset.InstitutionName = "Siemens Testklinik"
    dataset.StudyDate = "20210304"
    return person_of(dataset)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Ax T1 LAVA+C arterial", "Ax T1 C arterial"),  # the patient is called Lava
        ("t1_vibe_fs_tra_p2_bh", "t1 vibe fs tra bh"),
        ("COR T2 HASTE Müller Anna", "COR T2 HASTE"),
        ("MRN0012345 t2_tse", "t2 tse"),
        ("t2 tse 0012345 20210304", "t2 tse"),
        ("t1 90s post Gd 3min", "t1 90s post Gd 3min"),
        ("T1 li re Niere", "T1 Niere"),
        ("腹部 T1 动脉期 李明", "腹部 T1 动脉期"),
        ("Dr. Huber Spezial", ""),
        ("", ""),
    ],
)
def test_descriptions_keep_protocol_words_only(person, text: str, clean: str) -> None:
    assert clean_description(text, person) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Gadovist 7ml", "Gadovist"),
        ("GADOBUTROL", "GADOBUTROL"),
        ("Frau Meier hat 7 ml", "CONTRAST"),
        ("NO", "NO"),
        ("  ", ""),
    ],
)
def test_of_a_contrast_agent_its_name_is_kept_or_that_there_was_one(person, text: str, clean: str) -> None:
    assert clean_agent(text, person) == clean


def test_the_vendor_survives_a_hospital_of_the_same_name(person) -> None:
    assert clean_manufacturer("SIEMENS", person) == "Siemens"
    assert clean_manufacturer("Bruker", person) == "Bruker"


def test_a_reason_does_not_quote_what_is_no_protocol_language(person) -> None:
    reason = "CP: the name 't1 vibe art Huber' of MRN0012345 says arterial"
    assert clean_reason(reason, ["t1 vibe art Huber"], person) == "CP: the name 't1 vibe art ...' of ... says arterial"


def test_a_sidecar_holds_nothing_that_is_not_on_the_list(person) -> None:
    sidecar = {
        "EchoTime": 0.002, "RepetitionTime": "Müller", "Manufacturer": "SIEMENS",
        "ManufacturersModelName": "Skyra Anna", "ImageType": ["ORIGINAL", "Müller", "M"],
        "ScanOptions": "mueller anna", "AcquisitionTime": "10:17:51",
        "PatientName": "Müller", "ImageComments": "x", "InstitutionName": "Testklinik", "StationName": "MR1",
    }  # fmt: skip
    assert clean_sidecar(
        sidecar, description="t1", contrast_agent="", centre="A", study_date="20210304", shift_days=63, person=person
    ) == {
        "AcquisitionDate": "2020-12-31",
        "EchoTime": 0.002,
        "ImageType": ["ORIGINAL", "M"],
        "InstitutionName": "A",
        "Manufacturer": "Siemens",
        "ManufacturersModelName": "Skyra ...",
        "SeriesDescription": "t1",
    }


@pytest.mark.parametrize("date", ["", "2021", "20211399", "tomorrow", "00010101"])
def test_what_is_no_date_is_left_out(date: str) -> None:
    assert shifted_date(date, 3650) == ""


@pytest.mark.skipif(not NAMES.is_file(), reason="the table of real series names is not on this machine")
def test_real_descriptions_keep_most_of_their_words(person) -> None:
    with NAMES.open(encoding="utf-8", newline="") as file:
        names = [row["series_description"] for row in csv.DictReader(file)]
    kept = [clean_description(name, person) for name in names]
    assert all(kept)
