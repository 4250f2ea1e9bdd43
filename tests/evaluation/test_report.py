"""The document's schema is kept, and others are refused."""

import json
from pathlib import Path

import pytest

from lib.domain.errors import BadReportError
from lib.evaluation.report import REPORT, SCHEMA_VERSION, Report, read_report, write_report
from tests.evaluation.example import example_report

SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"


@pytest.fixture(scope="module")
def example() -> Report:
    return example_report(patients=40)


def test_the_schema_in_the_documentation_is_that_of_the_code() -> None:
    """A change is wanted, or not: raise SCHEMA_VERSION, then write the file anew as docs/evaluation.md says."""
    assert json.loads(SCHEMA.read_text()) == {**REPORT.json_schema(), "version": SCHEMA_VERSION}


def test_the_same_scores_give_the_same_bytes(example: Report) -> None:
    assert REPORT.dump_json(example_report(patients=40)) == REPORT.dump_json(example)


def test_the_example_holds_something_of_everything(example: Report) -> None:
    assert {result.group for result in example.results} == {"all", "internal", "external", "non-GE"}
    together, *_ = example.regressions
    assert (together.sequence, together.status, together.mixed.fitted) == ("all", "fitted", True)
    assert any(test.p_holm is not None for table in example.subgroups for test in table.tests)
    assert example.comparison is not None
    assert [problem.kind for problem in example.problems if problem.effect == "left out"] == ["other_grid"]


def test_no_patient_is_named_but_by_the_ids_of_images(example: Report) -> None:
    text = REPORT.dump_json(example).decode()
    for case in example.cases:
        text = text.replace(case.image_id, "")
    assert "P00" not in text.replace(example.problems[0].image_id, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [({"schema_version": "2.0"}, "'2.0'"), ({"counts": {}}, "fields"), ({"cases": None}, "fields")],
)
def test_another_document_is_refused(example: Report, tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = write_report(example, tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BadReportError, match=said):
        read_report(path)


def test_a_missing_report_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(BadReportError, match="evaluate"):
        read_report(tmp_path / "report.json")
