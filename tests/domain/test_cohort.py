"""The cohort table reads back what was written and says what is wrong with the rest."""

from pathlib import Path

import pytest

from lib.domain.cohort import format_cohort, parse_cohort, patients, read_cohort, record_of
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


def test_a_file_name_without_a_code_tells_nothing() -> None:
    assert record_of("scan12").sequence == ""
