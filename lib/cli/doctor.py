"""``doctor``: checks an installation and says what to do about what it finds."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from lib.cli.report import JsonFlag, report
from lib.configs.archive import ArchiveSettings, is_web
from lib.configs.settings import APP_FOLDER, Settings
from lib.domain.errors import RenalError
from lib.domain.sequences import SEQUENCES
from lib.registry.models import CLICKS, FINDER, RECOGNISER

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;]+)")
_PYTHON = (3, 11)
_NEEDED_GIB = 5.0
_GIB = 2**30
_MARKS = {"ok": "ok   ", "warning": "WARN ", "failed": "FAIL "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check saw, and what to do about it (empty when nothing)."""

    check: str
    state: Literal["ok", "warning", "failed"]
    seen: str
    advice: str = ""


def doctor(
    studies: Annotated[str | None, typer.Option(help="Cohort folder or PACS that the server works on.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Check Python, packages, device, weights, disk and, when given, a cohort or PACS; exit code 1 if one fails."""
    settings, web = Settings.from_conf({}), bool(studies and is_web(studies))
    folder = Path(studies) if studies and not web else None
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "packages": _packages,
        "device": lambda: _device(settings),
        "weights": lambda: _weights(settings),
        "disk": lambda: _disk(settings, folder),
    }
    if folder is not None:
        checks["cohort"] = lambda: _cohort(folder, settings)
        checks["quality"] = lambda: _quality(folder, settings)
    if studies and web:
        checks["pacs"] = lambda: _pacs(studies)
    findings = [finding for name, check in checks.items() for finding in _safely(name, check)]
    failed = sum(finding.state == "failed" for finding in findings)
    if json_:
        report({"findings": [asdict(finding) for finding in findings], "failed": failed}, as_json=True)
    else:
        for finding in findings:
            print(f"{_MARKS[finding.state]} {finding.check:<9} {finding.seen}")
            if finding.advice:
                print(f"{'':>15} -> {finding.advice}")
    if failed:
        raise typer.Exit(1)


def _safely(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A check that breaks is a finding as well: the others go on."""
    try:
        yield from check()
    except (RenalError, OSError, ImportError, RuntimeError) as error:
        seen = str(error) if isinstance(error, RenalError) else type(error).__name__
        yield Finding(check=name, state="failed", seen=seen, advice="mend this first, then ask again")


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info[:2] == _PYTHON:
        yield Finding(check="python", state="ok", seen=version)
    else:
        wanted = ".".join(map(str, _PYTHON))
        yield Finding(check="python", state="failed", seen=version, advice=f"use Python {wanted}: make PYTHON=...")


def _packages() -> Iterator[Finding]:
    pins = pinned((APP_FOLDER / "requirements.txt").read_text())
    wrong = {name: found for name, wanted in pins.items() if (found := installed(name)) != wanted}
    if not wrong:
        yield Finding(check="packages", state="ok", seen=f"{len(pins)} at the versions of requirements.txt")
        return
    seen = ", ".join(f"{name} {found or 'missing'} (expected {pins[name]})" for name, found in sorted(wrong.items()))
    yield Finding(check="packages", state="failed", seen=seen, advice="make install")


def pinned(requirements: str) -> dict[str, str]:
    """Versions by package of a requirements file."""
    return {found[1]: found[2] for line in requirements.splitlines() if (found := _PIN.match(line))}


def installed(name: str) -> str | None:
    """Version of an installed package without its build's suffix, or None."""
    try:
        return metadata.version(name).split("+")[0]
    except metadata.PackageNotFoundError:
        return None


def _device(settings: Settings) -> Iterator[Finding]:
    import torch

    from lib.nets.networks import pick_device

    device = pick_device(settings.device)
    if device.type != "cuda":
        advice = "" if settings.device == "cpu" else "training takes hours without a GPU; see README for CUDA"
        runtime = "OpenVINO" if installed("openvino") else "PyTorch"
        cores = torch.get_num_threads()
        yield Finding(
            check="device",
            state="ok" if settings.device == "cpu" else "warning",
            seen=f"CPU, {cores} cores, proposals by {runtime}",
            advice=advice,
        )
        return
    free, total = torch.cuda.mem_get_info(device)
    seen = f"{torch.cuda.get_device_name(device)}, {free / _GIB:.0f} of {total / _GIB:.0f} GiB free"
    yield Finding(check="device", state="ok", seen=seen)


def _weights(settings: Settings) -> Iterator[Finding]:
    from lib.nets.networks import load_weights
    from lib.nets.recognise import load_recogniser

    models = settings.models()
    readers: Mapping[str, Callable[[Path], object]] = {
        **dict.fromkeys((*SEQUENCES, FINDER, CLICKS), load_weights),
        RECOGNISER: load_recogniser,
    }
    for name, read in readers.items():
        path = models.find(name)
        if path is None:
            needed = name in SEQUENCES
            yield Finding(
                check="weights",
                state="failed" if needed else "warning",
                seen=f"{name}: none",
                advice="check out model/shipped again, or train" if needed else _WITHOUT[name],
            )
            continue
        try:
            read(path)
        except RenalError as error:
            advice = "python main.py models rollback, or check out model/shipped again"
            yield Finding(check="weights", state="failed", seen=f"{name}: {error}", advice=advice)
        else:
            yield Finding(check="weights", state="ok", seen=f"{name}: {path.parent.name}/{path.name}")


_WITHOUT = {
    CLICKS: "labels cannot be corrected by clicks without it",
    FINDER: "proposals work without it, more slowly",
    RECOGNISER: "images without metadata or a telling name are refused without it",
}


def _disk(settings: Settings, studies: Path | None) -> Iterator[Finding]:
    for what, folder in {"retrained models": Path(settings.live), "cohort": studies}.items():
        if folder is None:
            continue
        existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
        free = shutil.disk_usage(existing).free / _GIB
        short = free < _NEEDED_GIB
        yield Finding(
            check="disk",
            state="warning" if short else "ok",
            seen=f"{free:.1f} GiB free for the {what}",
            advice=f"at least {_NEEDED_GIB:g} GiB are advisable" if short else "",
        )


def _cohort(studies: Path, settings: Settings) -> Iterator[Finding]:
    from lib.store.cohort import CohortStore

    if not studies.is_dir():
        yield Finding(check="cohort", state="failed", seen="not a folder", advice="name a cohort folder")
        return
    store = CohortStore(studies, settings.store)
    try:
        counts = store.counts()
    finally:
        store.close()
    yield Finding(check="cohort", state="ok", seen=", ".join(f"{name} {count}" for name, count in counts.items()))


def _pacs(url: str) -> Iterator[Finding]:
    from lib.pacs.archive import Archive

    archive = Archive(ArchiveSettings.from_conf({}).address(url))
    try:
        series = archive.series("MR")
    finally:
        archive.close()
    studies = len({one.study_uid for one in series})
    advice = "" if series else "none is on the work list then: look at the setting pacs_query"
    state: Literal["ok", "warning"] = "ok" if series else "warning"
    yield Finding(check="pacs", state=state, seen=f"answers; {len(series)} MR series, {studies} studies", advice=advice)


def _quality(studies: Path, settings: Settings) -> Iterator[Finding]:
    from lib.loop.monitoring import courses
    from lib.store.cohort import CohortStore
    from lib.store.quality import QualityLog

    if not studies.is_dir():
        return
    store = CohortStore(studies, settings.store)
    try:
        found = courses(QualityLog(store).all())
    finally:
        store.close()
    for course in (course for course in found if course.changed):
        yield Finding(
            check="quality",
            state="warning",
            seen=f"{course.sequence} on {course.scanner or 'an unknown scanner'}: {course.figure.title} {course.said}",
            advice="look at the latest cases, and at what changed: scanner, protocol, readers, model version",
        )
    if not any(course.changed for course in found):
        seen = f"{len(found)} figures of proposals in use, none changed for the worse"
        yield Finding(check="quality", state="ok", seen=seen)
