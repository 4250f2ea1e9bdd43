"""``import`` as a person runs it: exit codes, one JSON document, a table, and no name on the screen."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.cli import app
from lib.domain.sequences import SEQUENCES
from tests.ingest.examination import case_of, identity_of, series, write

BAD_INPUT = 2


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run ``import`` into this test's cohort: exit code, stdout, stderr."""

    def run(source: Path, *arguments: object) -> tuple[int, str, str]:
        options = ["--into", tmp_path / "cohort", "--centre", "A", "--key", tmp_path / "secret" / "key", *arguments]
        monkeypatch.setattr("sys.argv", ["main.py", "import", *map(str, [source, *options])])
        code = app.run()
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return run


def test_import_prints_a_line_a_series_and_says_already_there_the_second_time(run, tmp_path: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP"), series("NP")[:3])
    code, out, err = run(folder)
    assert code == 0
    assert "reading headers: 11 of 11" in err
    assert any("CP" in line and "imported P" in line for line in out.splitlines())
    assert any("skipped: 3 slice positions" in line for line in out.splitlines())
    code, out, _ = run(folder)
    assert code == 0
    assert any("already there P" in line for line in out.splitlines())


def test_json_is_one_document_with_every_series(run, tmp_path: Path) -> None:
    code, out, _ = run(write(tmp_path / "dicom", *(series(code) for code in SEQUENCES)), "--json")
    document = json.loads(out)
    assert code == 0
    assert document["imported"] == len(SEQUENCES)
    assert {row["code"]: row["status"] for row in document["series"]} == dict.fromkeys(SEQUENCES, "imported")


def test_nothing_on_the_screen_names_the_patient(run, tmp_path: Path) -> None:
    folder = write(tmp_path / "dicom", series("CP"), series("NP")[:3], series("CP", 1))
    (folder / f"{identity_of().name}.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 64)
    for arguments in ([], ["--json"], ["--decide", f"{identity_of().patient_id}=CP"]):
        _, out, err = run(folder, *arguments)
        for patient in (0, 1):
            person = identity_of(patient)
            for secret in (*person.name.split("^"), person.patient_id, person.accession, person.birth_date):
                assert secret not in out + err


@pytest.mark.parametrize("vendor", ["GE", "Canon"])
def test_a_vendors_examination_is_recognised_whole(run, tmp_path: Path, vendor: str) -> None:
    _, out, _ = run(write(tmp_path / "dicom", *(series(code, 2, vendor=vendor) for code in SEQUENCES)), "--json")
    assert [row["status"] for row in json.loads(out)["series"]] == ["imported"] * len(SEQUENCES)
    assert case_of("CP", 2, vendor).record.vendor == vendor


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--centre", "../x"], "centre"),
        (["--decide", "S0=CP"], "SERIES=CODE"),
        (["--decide", "S000000000000=XX"], "expected one of"),
        (["--key", "{cohort}/key"], "inside the cohort"),
        (["--into", "{file}"], "expected a cohort folder"),
        (["--nonsense"], "No such option"),
    ],
)
def test_bad_arguments_exit_with_2_and_write_nothing(run, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "file").touch()
    names = {"cohort": tmp_path / "cohort", "file": tmp_path / "file"}
    code, out, err = run(write(tmp_path / "dicom", series("CP")), *(text.format(**names) for text in arguments))
    assert code == BAD_INPUT
    assert said in err
    assert out == ""
    assert not (tmp_path / "cohort").exists()


def test_a_source_that_does_not_exist_exits_with_2(run, tmp_path: Path) -> None:
    assert run(tmp_path / "nowhere")[0] == BAD_INPUT


def test_nothing_importable_exits_with_1_and_leaves_no_cohort(run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty")[0] == 1
    code, out, _ = run(write(tmp_path / "dicom", series("CP")[:2]), "--json")
    assert code == 1
    assert json.loads(out)["series"][0]["status"] == "skipped"
    assert not (tmp_path / "cohort").exists()


def test_the_phantom_command_writes_dicom_that_import_takes(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, object] = {}
    monkeypatch.setattr("lib.phantom.dicom.generate_dicom", lambda out, **options: made.update(out=out, **options) or 7)
    asked = ["--dicom", "--patients", "2", "--unusual", "0.25", "--json"]
    monkeypatch.setattr("sys.argv", ["main.py", "phantom", str(tmp_path / "p"), *asked])
    assert app.run() == 0
    assert made == {"out": tmp_path / "p", "patients": 2, "seed": 0, "unusual": 0.25}
