"""How the sequence of an image was recognised, and its study: from the import's record into the index, and shown."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from lib.domain.ledger import IMPORTED, LEDGER, Ledger, SeriesRow, format_ledger
from lib.store.cohort import CohortStore
from lib.store.datastore import CohortDatastore

WHY = {"rule": "named corticomedullary or arterial", "confidence": 0.81, "runner_up": "NP", "reason": "CP: says so"}
STUDY = {"study": "E0123456789ab", "study_date": "2019-05-05"}


def record(folder: Path, image_id: str, code: str, **changes: object) -> None:
    values = {**WHY, **STUDY, "patient": "P1", "series": "S1", "code": code, "image_id": image_id, **changes}
    fixed = {"series_number": 4, "description": "", "part": "", "slices": 16, "status": IMPORTED}
    rows = {"S1": SeriesRow(**fixed, **values)}
    (folder / LEDGER).write_bytes(format_ledger(Ledger(key="f", rows=rows)))


@pytest.fixture
def folder(make_cohort: Callable[..., Path]) -> Path:
    return make_cohort(["P1"], ["CP", "NP"], labelled=[])


def info(folder: Path, image_id: str, database: str = "") -> dict:
    store = CohortStore(folder, database)
    found = CohortDatastore(store).get_image_info(image_id)
    store.close()
    return found


def test_the_reason_of_an_import_is_shown_with_the_study(folder: Path, database: str) -> None:
    record(folder, "P1_CP", "CP")
    shown = info(folder, "P1_CP", database)
    assert shown["recognised"] == {"code": "CP", "by": "import", **WHY}
    assert {name: shown[name] for name in STUDY} == STUDY
    assert info(folder, "P1_NP", database)["recognised"] == {"code": "NP", "by": "table"}


def test_a_record_that_comes_later_is_followed(folder: Path) -> None:
    store = CohortStore(folder)
    assert store.shown("P1_CP")["recognised"]["by"] == "table"
    record(folder, "P1_CP", "CP")
    assert store.shown("P1_CP")["recognised"]["by"] == "import"
    store.close()


def test_a_decision_is_a_persons(folder: Path) -> None:
    record(folder, "P1_CP", "CP", rule="decided", confidence=1.0, runner_up="", reason="a person decided")
    recognised = info(folder, "P1_CP")["recognised"]
    assert (recognised["by"], recognised["reason"]) == ("person", "a person decided")


def test_a_sequence_that_the_table_changed_is_the_tables(folder: Path) -> None:
    record(folder, "P1_CP", "DP")
    shown = info(folder, "P1_CP")
    assert shown["recognised"] == {"code": "CP", "by": "table"}
    assert (shown["sequence"], shown["study"]) == ("CP", STUDY["study"])


def test_a_record_that_cannot_be_read_does_not_stop_the_server(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / LEDGER).write_text("{")
    assert info(folder, "P1_CP")["recognised"]["by"] == "table"
    assert "import.json cannot be read" in caplog.text


def test_an_index_of_an_earlier_version_gets_what_it_lacks(folder: Path, database: str) -> None:
    CohortStore(folder, database).close()
    engine = create_engine(database or f"sqlite:///{folder / '.renal' / 'store.sqlite'}")
    with engine.begin() as connection:
        for column in ("recognition", "study_date"):
            connection.execute(text(f"ALTER TABLE images DROP COLUMN {column}"))
    engine.dispose()
    record(folder, "P1_CP", "CP")
    assert info(folder, "P1_CP", database)["recognised"]["rule"] == WHY["rule"]
