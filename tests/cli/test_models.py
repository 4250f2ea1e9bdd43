"""``models``: what a person at the command line sees, changes and can prove."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.cli import app, models
from lib.configs import settings
from lib.configs.settings import APP_FOLDER, Settings
from lib.domain.records import EpochReport
from lib.domain.sequences import SEQUENCES
from lib.imaging.volume import write_bytes
from lib.nets.networks import load_weights
from lib.registry.mirror import is_installed
from lib.registry.versions import LabelUsed, TrainingRun

APP = Path(__file__).parents[2]
BAD_INPUT = 2
ALIASES = """
    SELECT a.alias, t.value FROM registered_model_aliases a
    JOIN model_version_tags t ON t.name = a.name AND t.version = a.version
    WHERE t.key = 'renal.version' AND a.name = 'renal-CP'
"""
FIGURES = "SELECT value FROM model_version_tags WHERE key = 'gate.comparisons.2.group'"
_NAMES = ("group", "measure", "patients", "champion", "challenger", "lower", "margin")
ROWS = [
    dict(zip(_NAMES, row, strict=True))
    for row in (("all", "mass", 40, 0.61, 0.66, 0.01, 0.02), ("GE up to 20 mm", "mass", 9, 0.4, 0.5, -0.01, 0.05))
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run ``main.py models`` with arguments: exit code, stdout, stderr; MLflow is left alone."""
    monkeypatch.setattr(models, "sync_soon", lambda _: None)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["main.py", "models", *map(str, arguments)])
        code = app.run()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with CP in ``shipped``, and versions CP-a (live) and CP-b (refused)."""
    monkeypatch.setattr(settings, "APP_FOLDER", tmp_path)
    monkeypatch.setenv("RENAL_LOOP_LIVE", str(tmp_path / "live"))
    write_bytes(b"shipped", tmp_path / "model" / "shipped" / "CP.safetensors")
    registry = Settings.from_conf({}).registry()
    for version, verdict in (("CP-a", "promote"), ("CP-b", "refuse")):
        write_bytes(version.encode(), registry.models.weights("CP", version))
        decision = {"verdict": verdict, "reason": f"says {verdict} <of it>", "comparisons": ROWS, "lost_masses": 1}
        registry.add("CP", version, training(), decision)
    registry.promote("CP-a", who="gate", reason="says promote")
    return tmp_path / "live"


def training() -> TrainingRun:
    return TrainingRun(
        started_from="CP-2",
        started_from_sha256="00" * 32,
        code_version="0.1.0",
        code_sha256="11" * 32,
        settings={"minutes": 30.0},
        seed=7,
        minutes=29.5,
        environment={"python": "3.11.7", "torch": "2.13.0"},
        labels=(LabelUsed(image_id="P1_CP", side="train", sha256="22" * 32),),
        epochs=(
            EpochReport(epoch=1, epochs=2, loss=1.5, dice={}, eta_s=9.0),
            EpochReport(epoch=2, epochs=2, loss=0.5, dice={"kidney": 0.9, "mass": 0.6}, eta_s=0.0),
        ),
    )


def roles(run: Callable[..., tuple[int, str, str]]) -> dict[str, str]:
    return {row["version"]: row["role"] for row in json.loads(run("list", "--json")[1])["versions"]}


def test_a_fresh_installation_lists_what_ships(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENAL_LOOP_LIVE", str(tmp_path / "live"))
    shipped = (load_weights(APP_FOLDER / "model" / "shipped" / f"{code}.safetensors") for code in SEQUENCES)
    assert roles(run) == {weights.notes["version"]: "serves" for weights in shipped}
    assert not (tmp_path / "live").exists()


def test_versions_go_live_by_hand_and_back(run, live: Path) -> None:
    code, out, _ = run("promote", "CP-b", "--reason", "the holdout has a wrong label", "--json")
    assert code == 0
    assert json.loads(out)["serves"] == "CP-b"
    assert roles(run)["CP-b"] == "serves"
    assert roles(run)["CP-a"] == "before"
    code, out, _ = run("rollback", "CP", "--reason", "worse", "--json")
    assert (code, json.loads(out)["serves"]) == (0, "CP-a")
    assert json.loads(out)["seconds"] < 5
    entries = json.loads(run("audit", "--json")[1])["entries"]
    assert [(one["what"], one["why"]) for one in entries if one["what"] in ("model.promote", "model.rollback")] == [
        ("model.promote", "says promote"),
        ("model.promote", "the holdout has a wrong label"),
        ("model.rollback", "worse"),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["promote", "CP-b"], "Missing option"),
        (["promote", "CP-b", "--reason", " "], "the reason is empty"),
        (["promote", "CP-z", "--reason", "new"], "no model version 'CP-z'"),
        (["promote", "CP-a", "--reason", "again"], "serves already"),
        (["rollback", "NP", "--reason", "worse"], "nothing served sequence 'NP' before"),
        (["rollback", "FLAIR", "--reason", "worse"], "no sequence 'FLAIR'"),
        (["show", "../CP-a"], "the version has characters"),
        (["report", "CP-z", "--out", "{out}"], "no model version 'CP-z'"),
        (["audit", "--head", "00"], "without --verify"),
    ],
)
def test_bad_input_exits_with_2_and_changes_nothing(run, live: Path, tmp_path: Path, arguments, said: str) -> None:
    before = roles(run)
    code, out, err = run(*(text.format(out=tmp_path / "page.html") for text in arguments))
    assert (code, out) == (BAD_INPUT, "")
    assert said in err
    assert roles(run) == before
    assert not (tmp_path / "page.html").exists()


def test_damaged_weights_are_refused_with_1(run, live: Path) -> None:
    (live / "CP" / "versions" / "CP-b.safetensors").write_bytes(b"other")
    code, _, err = run("promote", "CP-b", "--reason", "new")
    assert code == 1
    assert "BadWeightsError" in err


def test_show_tells_what_a_version_was_made_of(run, live: Path) -> None:
    code, out, _ = run("show", "CP-b", "--json")
    shown = json.loads(out)
    assert code == 0
    assert shown["training"]["labels"] == [{"image_id": "P1_CP", "side": "train", "sha256": "22" * 32, "weight": 1.0}]
    assert (shown["training"]["seed"], shown["decision"]["verdict"]) == (7, "refuse")
    assert "says refuse" in run("show", "CP-b")[1]


def test_a_changed_line_of_the_audit_log_is_found(run, live: Path) -> None:
    code, out, _ = run("audit", "--verify", "--json")
    assert (code, json.loads(out)["sound"]) == (0, True)
    noted = json.loads(out)["head"]
    file = live / "audit.jsonl"
    file.write_bytes(file.read_bytes().replace(b"says promote", b"says nothing", 1))
    code, out, _ = run("audit", "--verify", "--head", noted, "--json")
    assert (code, json.loads(out)["sound"]) == (1, False)
    assert "was changed" in json.loads(out)["problems"][0]


def test_lists_are_readable_without_json(run, live: Path) -> None:
    assert "CP-a" in run("list")[1]
    assert "model.decided" in run("audit")[1]
    assert run("audit", "--verify")[0] == 0


def test_the_report_is_one_page_with_every_part_and_no_link_outside(run, live: Path, tmp_path: Path) -> None:
    run("promote", "CP-b", "--reason", "by hand")
    run("rollback", "CP", "--reason", "and away again")
    assert run("report", "CP-b", "--out", tmp_path / "page.html")[0] == 0
    text = (tmp_path / "page.html").read_text()
    headings = ("Description of modifications", "Modification protocol", "Results", "Decision", "Impact assessment")
    assert all(f"{heading}</h2>" in text for heading in headings)
    assert "GE up to 20 mm" in text
    assert "and away again" in text
    assert "says refuse &lt;of it&gt;" in text
    assert "lies above -0.05" in text
    assert "22" * 32 in text
    assert "<svg" in text
    assert not [word for word in ('src="http', 'href="http', "@import", "<script") if word in text]


@pytest.mark.slow
@pytest.mark.skipif(not is_installed(), reason="MLflow is not installed; `make install` does that")
def test_mlflow_shows_runs_versions_and_aliases(live: Path) -> None:
    def sync() -> dict:
        done = subprocess.run(
            [sys.executable, "main.py", "models", "sync", "--json"],
            cwd=APP,
            env={**os.environ, "RENAL_LOOP_LIVE": str(live)},
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout)

    assert sync()["new_in_mlflow"] == 3  # with the shipped weights, which served before
    Settings.from_conf({}).registry().promote("CP-b", who="ann", reason="by hand")
    assert sync()["new_in_mlflow"] == 0
    with sqlite3.connect(live / "mlflow" / "mlflow.sqlite") as store:
        aliases = dict(store.execute(ALIASES))
        curves = store.execute("SELECT key, step, value FROM metrics WHERE key IN ('loss', 'dice_mass')").fetchall()
        figures = store.execute(FIGURES).fetchall()
    store.close()
    assert aliases == {"champion": "CP-b"}
    assert set(curves) == {("loss", 1, 1.5), ("loss", 2, 0.5), ("dice_mass", 2, 0.6)}
    assert figures == [("GE up to 20 mm",)] * 2
