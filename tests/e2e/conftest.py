"""The real server, as a process of its own on loopback, over a phantom cohort."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from lib.phantom.cohort import SMALL_SIZE, generate_cohort

SALT = "e2e-2"
APP = Path(__file__).parents[2]
# Fourteen patients are too few for the gate's own figures: this salt puts four on the holdout, and three have a mass.
SMALL_COHORT = {
    "RENAL_LOOP_SALT": SALT,
    "RENAL_LOOP_GATE_MIN_PATIENTS": "2",
    "RENAL_LOOP_GATE_MORE_FALSE_MASSES": "100",
    "RENAL_LOOP_SCHEDULE": "off",
    "RENAL_LOOP_MEASURE": "off",
    "RENAL_LOOP_TIMEOUT_S": "600",  # a busy machine is no failure
}
CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="Chromium (Debian: chromium) or playwright is not installed",
)
CHROMIUM_ARGUMENTS = (
    "--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-dev-shm-usage", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip
START_S = float(os.environ.get("RENAL_LOOP_START_S", "120"))  # longer where the machine is busy


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server."""

    url: str
    studies: Path
    live: Path
    process: subprocess.Popen
    temporary: Path
    log: Path


def started_by_us(studies: Path, port: int) -> list[str]:
    return [sys.executable, "main.py", "serve", "--studies", str(studies), "--port", str(port)]


def started_by_stock_command(studies: Path, port: int) -> list[str]:
    """On every address, which is the stock command's own choice."""
    stock = Path(sys.executable).with_name("monailabel")
    return [str(stock), "start_server", "--app", ".", "--studies", str(studies), "--port", str(port)]


@contextlib.contextmanager
def running(
    studies: Path,
    live: Path,
    command: Callable[[Path, int], list[str]] = started_by_us,
    certificate: Path | None = None,
    **settings: str,
) -> Iterator[Server]:
    """Start a server and wait for its first answer; end it by its id.

    Its users are those of ``users.json`` beside ``live``; it speaks HTTPS when there is a certificate.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    temporary = live.parent / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        **SMALL_COHORT,
        "RENAL_LOOP_LIVE": str(live),
        **{f"RENAL_LOOP_{name.upper()}": value for name, value in settings.items()},
        "RENAL_LOOP_USERS": str(live.parent / "users.json"),
        "TMPDIR": str(temporary),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    log = live.parent / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command(studies, port), cwd=APP, env=environment, stdout=file, stderr=file)
    try:
        url = f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
        _wait(url, process, log, certificate)
        yield Server(url=url, studies=studies, live=live, process=process, temporary=temporary, log=log)
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


def _wait(url: str, process: subprocess.Popen, log: Path, certificate: Path | None) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"{url}/readyz", timeout=30, verify=str(certificate) if certificate else True).ok:
                return
        time.sleep(0.3)
    pytest.fail(f"the server did not answer:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen small phantom patients, all sequences, labels put aside in ``truth``."""
    folder = tmp_path_factory.mktemp("phantoms") / "cohort"
    generate_cohort(folder, patients=14, seed=77, size=SMALL_SIZE)
    (folder / "labels").rename(folder.parent / "truth")
    return folder


@pytest.fixture(scope="module")
def server(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(phantoms, tmp_path_factory.mktemp("server") / "live") as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()
