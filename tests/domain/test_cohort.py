"""The cohort table reads back what was written and says what is wrong with the rest."""

from pathlib import Path

import pytest

from lib.domain.cohort import (
    format_cohort,
    image_id_of,
    parse_cohort,
    patients,
    read_cohort,
    record_of,
    study_number,
)
from lib.domain.errors import BadCohortError
from lib.domain.records import CaseRecord
from lib.domain.sequences import SEQUENCES

RECORDS = [
    CaseRecord(image_id="P1_CP", patient_id="P1", sequence="CP", vendor="GE", field_t=1.5, clinical={"age": "61"}),
    CaseRecord(image_id="P2_NP", patient_id="P2", sequence="NP", centre="B, east", clinical={"note": 'a "b"'}),
]


def test_records_read_back_with_every_clinical_column() -> None:
    back = parse_cohort(format_cohort(RECORDS))
    assert [record.image_id for record in back] == ["P1_CP", "P2_NP"]
    assert back[0].field_t == 1.5
    assert back[0].clinical == {"age": "61", "note": ""}
    assert back[1].centre == "B, east"
    assert back[1].clinical["note"] == 'a "b"'
    assert patients(back) == ["P1", "P2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'image_id'"),
        ("image_id,patient_id\nP1_CP,P1\n", "no column 'sequence'"),
        ("image_id,patient_id,sequence\nP1_CP,P1,CP\nP1_CP,P1,CP\n", "line 3 repeats"),
        ("image_id,patient_id,sequence\n../x,P1,CP\n", "line 2: image id"),
        ("image_id,patient_id,sequence,field_t\nP1_CP,P1,CP,high\n", "'high'; expected tesla"),
    ],
)
def test_a_bad_table_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(BadCohortError, match=said):
        parse_cohort(text)


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCohortError, match=r"no cohort\.csv"):
        read_cohort(tmp_path)


def test_a_table_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadCohortError, match="UTF-8"):
        read_cohort(tmp_path)


@pytest.mark.parametrize("code", SEQUENCES)
def test_a_file_name_tells_patient_and_sequence(code: str) -> None:
    record = record_of(f"A_7_{code.lower()}")
    assert (record.patient_id, record.sequence) == ("A_7", code)


@pytest.mark.parametrize("study", [1, 2, 12])
def test_a_further_study_is_of_the_same_patient(study: int) -> None:
    image_id = image_id_of("KITS-001", "CP", study)
    assert record_of(image_id) == CaseRecord(image_id=image_id, patient_id="KITS-001", sequence="CP")
    assert study_number(image_id) == study


@pytest.mark.parametrize("case", ["KITS-001", "P1-study1", "P1-study", "P1-2", "-study2", "study2"])
def test_only_the_study_of_a_name_is_left_out_of_the_patient(case: str) -> None:
    assert record_of(f"{case}_CP").patient_id == case
    assert study_number(f"{case}_CP") == 1


def test_a_file_name_without_a_code_tells_nothing() -> None:
    assert record_of("scan12").sequence == ""
