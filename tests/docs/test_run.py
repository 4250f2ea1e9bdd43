"""Every command of the pages is run, page by page and in order, in a folder where nothing else has happened."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from lib.cli import app
from lib.configs.settings import Settings
from lib.imaging.volume import Volume, read_volume, write_volume
from lib.ingest.dicom import import_dicom
from lib.loop.label_quality import Suspicion
from lib.loop.label_review import LabelReview
from tests.cli.test_models import training
from tests.docs.conftest import PASSWORD
from tests.docs.pages import PAGES, ROOT, Typed, typed
from tests.e2e.conftest import Server

VERSION = "CP-20261124T034600Z"
LOOPBACK = "http://127.0.0.1:8000"
INSTALLS = "installs packages, as every run of the suite needs it done before"
WHOLE = "is itself what checks the program"
PACS = "needs a PACS: tests/e2e/test_pacs.py"
# What cannot be typed here, and why.
ELSEWHERE = {
    "make install": INSTALLS,
    "git pull": "fetches another version",
    "make serve": INSTALLS,
    "make serve STUDIES=/path/to/cohort PORT=8001": INSTALLS,
    "make serve STUDIES=http://pacs.hospital.example:8042/dicom-web": PACS,
    "python main.py serve --studies http://pacs.hospital.example:8042/dicom-web": PACS,
    "make pacs": PACS,
    "make ohif": "fetches the viewer with npm",
    "make mlflow-ui": "stays until it is stopped",
    "make test": WHOLE,
    "make lint": WHOLE,
    "make docs": WHOLE,
    "source .venv/bin/activate": INSTALLS,
    "monailabel start_server --app . --studies /path/to/cohort --host 127.0.0.1": "stays: tests/e2e/test_loop.py",
    "python main.py serve --studies data/demo": "stays: it is the server that the addresses are asked of",
    "python main.py serve --studies data/demo --host 0.0.0.0 --tls-certificate cert.pem --tls-key key.pem": (
        "stays: tests/e2e/test_network.py"
    ),
    ".venv/bin/python -m benchmarks.trust fit COHORT --kept DIR": "fits on proposals for hundreds of images",
}


def new_cohort(place: Path) -> None:
    shutil.rmtree(place / "COHORT")


def exported_cohort(place: Path) -> None:
    """A cohort that came from DICOM, with one label."""
    new_cohort(place)
    key = place / ".config" / "renal-loop" / "import.key"
    image_id = import_dicom(place / "DICOM_DIR", place / "COHORT", centre="A", key_file=key).imported[0]
    image = read_volume(place / "COHORT" / f"{image_id}.nii.gz")
    label = Volume(data=np.zeros(image.shape, np.uint8), affine=image.affine)
    label.data[10:14, 10:14, 5] = 2
    write_volume(label, place / "COHORT" / "labels" / "final" / f"{image_id}.nii.gz")


def trained_version(place: Path) -> None:
    """A version that the gate refused."""
    registry = Settings.from_conf({}).registry()
    weights = registry.models.weights("CP", VERSION)
    weights.parent.mkdir(parents=True)
    shutil.copy(place / "model" / "shipped" / "CP.safetensors", weights)
    decision = {"verdict": "refuse", "reason": "fell", "comparisons": [], "lost_masses": 0}
    registry.add("CP", VERSION, training(), decision)


def promoted_version(place: Path) -> None:
    trained_version(place)
    Settings.from_conf({}).registry().promote(VERSION, who="gate", reason="better")


def suspicious_label(_: Path) -> None:
    found = (Suspicion(kind="shifted", reason="it fits both predictions better when it is moved by 20 mm"),)
    review = LabelReview(code="CP", image_id="P001_CP", sha256="22" * 32, at="2026-11-24", suspicions=found)
    Settings.from_conf({}).reviews().add("CP", [review])


def network_that_ships(place: Path) -> None:
    """In place of the small one, whose layers are others."""
    (place / "model" / "shipped" / "NP.safetensors").unlink()
    shutil.copy(ROOT / "model" / "shipped" / "NP.safetensors", place / "model" / "shipped")


# What has happened before somebody reads the page.
BEFORE: Mapping[str, Callable[[Path], None]] = {
    "clicks.md": network_that_ships,
    "dicomseg.md": exported_cohort,
    "import.md": new_cohort,
    "models.md": trained_version,
    "onboarding.md": new_cohort,
    "operate.md": promoted_version,
    "retraining.md": suspicious_label,
}


class Reader:
    """Somebody who types a page's commands, with what they know in place of the page's examples."""

    def __init__(self, place: Path, request: pytest.FixtureRequest) -> None:
        self.place = place
        self._request = request
        self._capture: pytest.CaptureFixture[str] = request.getfixturevalue("capfd")
        self._patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        self._patch.setattr("getpass.getpass", lambda _: PASSWORD)
        self._known = {" VERSION": f" {VERSION}", "=...": f"={PASSWORD}"}

    def type(self, command: Typed) -> None:
        """Run one command; it has to end as the page shows, or well where the page shows no error."""
        line = re.sub(r"--minutes \S+", "--minutes 0.02", command.line)
        for example, known in self._known.items():
            line = line.replace(example, known)
        if "main.py" in command.words[:2]:
            self._main(line, command.shown)
        elif command.words[0] == "curl":
            self._curl(line, command.shown)
        else:
            self._shell(line)

    def _main(self, line: str, shown: str) -> None:
        """In this process, which has everything loaded."""
        words, _, given = line.partition(" main.py ")[2].partition(" < ")
        if words.startswith("restore "):  # on another machine
            shutil.rmtree(self.place / "COHORT")
            shutil.rmtree(self.place / "model" / "live")
        self._patch.setattr("sys.argv", ["main.py", *Typed(page="", line=words).words])
        self._patch.setattr("sys.stdin", io.StringIO(Path(given).read_text() if given else ""))
        code = app.run()
        printed = self._capture.readouterr()
        wrong = re.match(r"\w+Error: .*", shown)
        assert (code, line) == (2 if wrong else 0, line), printed.err
        assert not wrong or wrong[0] in printed.err
        if opposed := re.search(r"^(S\w+) .* opp ", printed.out, re.MULTILINE):
            self._known["Sd549e2bb95ff"] = opposed[1]

    def _curl(self, line: str, shown: str) -> None:
        server: Server = self._request.getfixturevalue("server")
        answer = self._shell(line.replace(LOOPBACK, server.url).replace("curl", "curl -s -w '\n%{http_code}'", 1))
        body, _, status = answer.rpartition("\n")
        expected = json.loads(shown).get("error") if shown else None
        assert (int(status) < 300) == (expected is None), f"{line}: {status}\n{body}\n{server.log.read_text()[-2000:]}"
        found = json.loads(body)
        assert found.get("error") == expected
        if token := found.get("access_token"):
            self._known["bearer TOKEN"] = f"bearer {token}"

    def _shell(self, line: str) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", line.replace(".venv/bin/python", "python")],
            cwd=self.place,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, (line, done.stderr)
        return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if typed(page)])
def test_a_page_is_run_from_top_to_bottom(page: str, place: Path, request: pytest.FixtureRequest) -> None:
    BEFORE.get(page, lambda _: None)(place)
    reader = Reader(place, request)
    for command in typed(page):
        if command.line not in ELSEWHERE:
            reader.type(command)


def test_what_is_not_run_here_is_still_on_a_page() -> None:
    assert set(ELSEWHERE) <= {command.line for page in PAGES for command in typed(page)}
