"""A folder in which what a page says can be typed, and a server for what it asks one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lib.cli import models
from lib.configs import settings
from lib.nets.networks import load_weights, save_weights
from lib.phantom import dicom
from lib.phantom.cohort import SMALL_SIZE, Size, generate_cohort
from tests.docs.pages import ROOT
from tests.e2e.conftest import Server, running

CODES = ("CP", "NP")
PASSWORD = "a-long-password"
_DISCS = Size(matrix=(48, 40, 36), fine_mm=(6.0, 6.0, 6.0))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted, under their own names: cohorts, DICOM, networks, two of them small."""
    folder = tmp_path_factory.mktemp("made")
    generate_cohort(folder / "COHORT", patients=1, seed=77, size=SMALL_SIZE, sequences=CODES)
    dicom.generate_dicom(folder / "DICOM_DIR", patients=1, seed=77, size=_DISCS, sequences=CODES)
    for name in ("demo", "weights"):
        shutil.copytree(folder / "COHORT", folder / "data" / name)
    shipped = folder / "model" / "shipped"
    shutil.copytree(ROOT / "model" / "shipped", shipped)
    small = load_weights(ROOT / "tests" / "e2e" / "small_NP.safetensors")
    for code in CODES:
        plan = replace(small.plan, code=code)
        save_weights(shipped / f"{code}.safetensors", small.state, plan, {"version": f"{code}-2"})
    (folder / "docs").mkdir()
    (folder / "password.txt").write_text(f"{PASSWORD}\n")
    key = folder / ".config" / "renal-loop" / "import.key"  # the same pseudonyms, so the same sides, every time
    key.parent.mkdir(parents=True)
    key.write_text("fedcba9876543210" * 4)
    key.chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps what is its own."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture
def place(made: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of a fresh installation; phantoms that are made in it are small."""
    folder = tmp_path / "place"
    shutil.copytree(made, folder, copy_function=os.link)  # files are replaced, never written into
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("RENAL_LOOP_LIVE", str(folder / "model" / "live"))
    monkeypatch.setenv("RENAL_LOOP_USERS", str(site / "users.json"))
    monkeypatch.setattr(settings, "APP_FOLDER", folder)
    monkeypatch.setattr(models, "sync_soon", lambda _: None)
    monkeypatch.setattr(dicom, "generate_dicom", partial(dicom.generate_dicom, size=_DISCS))
    yield folder
    (site / "users.json").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[Server]:
    """The weights that ship, over the first patient of the cohort that ``make serve`` makes."""
    generate_cohort(site / "demo", patients=1, seed=2026, sequences=CODES)
    with running(site / "demo", site / "live") as found:
        yield found
