"""Databases to keep the index in: SQLite always, PostgreSQL where its programs are installed."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def as_postgres(*command: str | Path) -> None:
    """Run one of PostgreSQL's programs, which refuse to run as root."""
    words = [str(word) for word in command]
    changed = ["runuser", "-u", "postgres", "--", *words] if os.geteuid() == 0 else words
    subprocess.run(changed, check=True, capture_output=True, timeout=60, cwd="/")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """A server on a socket in a temporary folder; gives the address of a new, empty database at each call."""
    if not PROGRAMS:
        pytest.skip("PostgreSQL is not installed")
    psycopg = pytest.importorskip("psycopg", reason="the driver psycopg is not installed")
    folder = Path("/tmp") / f"renal-loop-{uuid.uuid4().hex[:8]}"  # noqa: S108 - a socket's path is at most 107 long
    folder.mkdir(mode=0o777)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    initdb, control = PROGRAMS[-1] / "initdb", PROGRAMS[-1] / "pg_ctl"
    as_postgres(initdb, "-D", folder / "data", "-A", "trust", "-U", "renal", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    as_postgres(control, "-D", folder / "data", "-o", options, "-l", folder / "log", "-w", "start")

    def new() -> str:
        name = f"cohort_{uuid.uuid4().hex}"
        with psycopg.connect(f"host={folder} user=renal dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://renal@/{name}?host={folder}"

    try:
        yield new
    finally:
        as_postgres(control, "-D", folder / "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """Address of an empty database; empty for the one in the cohort folder."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres")()
