"""``models``: which version serves and why, another one live, back again, the audit log, a page for a regulator."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from lib.cli.report import JsonFlag, report, table
from lib.configs.settings import Settings
from lib.configs.upkeep import sync_soon
from lib.domain.errors import BadRequestError
from lib.domain.sequences import SEQUENCES, get_sequence
from lib.registry.changes import person
from lib.registry.figures import figures_of, finite, flat
from lib.registry.models import ModelFolder
from lib.registry.serving import Serving, read_serving
from lib.registry.versions import VersionRecord, version_in

_NICENESS = 10
Reason = Annotated[str, typer.Option(help="Why, in a sentence; it goes on record.")]

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command("list")
def list_(json_: JsonFlag = False) -> None:
    """Show every version, oldest first, and what serves."""
    models = Settings.from_conf({}).models()
    codes = list(dict.fromkeys([*SEQUENCES, *models.codes()]))
    rows = [row for code in codes for row in _rows(models, code)]
    if json_:
        report({"versions": rows}, as_json=True)
    else:
        table(rows)


def _rows(models: ModelFolder, code: str) -> list[dict[str, object]]:
    records, serving, found = models.records(code), read_serving(models.folder(code)), models.find(code)
    rows = [_row(models, record, serving, found) for record in records]
    if found == models.shipped_file(code):
        shipped = {"code": code, "version": version_in(found, code), "role": "serves", "source": "shipped"}
        rows.append({**shipped, "verdict": "none", "created": "", "weights": "kept"})
    return rows


def _row(models: ModelFolder, record: VersionRecord, serving: Serving | None, found: Path | None) -> dict[str, object]:
    weights = models.weights(record.code, record.version)
    previous = serving and serving.previous and serving.previous.version
    role = "serves" if found == weights else "before" if previous == record.version else ""
    kept = "kept" if weights.is_file() else "pruned"
    facts = {"code": record.code, "version": record.version, "role": role, "source": record.source}
    return {**facts, "verdict": record.verdict, "created": record.created, "weights": kept}


@app.command()
def show(version: str, json_: JsonFlag = False) -> None:
    """Show what is known of a version."""
    models = Settings.from_conf({}).models()
    record = models.record(version)
    document: Any = finite({**asdict(record), "role": _row(models, record, *_state(models, record.code))["role"]})
    if json_:
        report(document, as_json=True)
        return
    training = document.pop("training") or {}
    decision = document.pop("decision")
    labels = training.pop("labels", [])
    suspected = training.pop("suspected", [])
    epochs = training.pop("epochs", [])
    seen = f"{len(labels)} labels in {len(epochs)} epochs" if training else "not recorded"
    doubtful = "; ".join(f"{one['image_id']} ({one['became']}): {one['why']}" for one in suspected) or "none"
    facts = {**document, "verdict": record.verdict, "reason": record.reason, "trained on": seen}
    facts["suspicious labels"] = doubtful if training else "not recorded"
    report({**facts, **dict(flat(training)), **dict(flat(figures_of(decision)))}, as_json=False)


def _state(models: ModelFolder, code: str) -> tuple[Serving | None, Path | None]:
    return read_serving(models.folder(code)), models.find(code)


@app.command()
def promote(version: str, reason: Reason, json_: JsonFlag = False) -> None:
    """Let a version serve, by hand: the gate's verdict on it stays on record beside yours."""
    settings = Settings.from_conf({})
    started = time.perf_counter()
    serving = settings.registry().promote(version, who=person(), reason=reason)
    _changed(settings, serving, time.perf_counter() - started, json_)


@app.command()
def rollback(code: str, reason: Reason, json_: JsonFlag = False) -> None:
    """Let the version before serve again; a second rollback returns."""
    settings = Settings.from_conf({})
    started = time.perf_counter()
    serving = settings.registry().rollback(_known_code(settings, code), who=person(), reason=reason)
    _changed(settings, serving, time.perf_counter() - started, json_)


def _known_code(settings: Settings, code: str) -> str:
    return code if code in settings.models().codes() else get_sequence(code).code


def _changed(settings: Settings, serving: Serving, seconds: float, as_json: bool) -> None:
    previous = serving.previous.version if serving.previous else ""
    served = {"serves": serving.champion.version, "before": previous, "who": serving.who, "reason": serving.reason}
    report({**served, "changed": serving.changed, "seconds": round(seconds, 3)}, as_json=as_json)
    sync_soon(settings)


@app.command()
def audit(
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute every hash; exit code 1 when one is wrong.")
    ] = False,
    head: Annotated[str, typer.Option(help="With --verify: hash of an entry that was noted elsewhere.")] = "",
    last: Annotated[int, typer.Option(min=1, help="How many entries to show.")] = 20,
    json_: JsonFlag = False,
) -> None:
    """Show the audit log, or find out whether a line was changed, removed or inserted."""
    log = Settings.from_conf({}).audit()
    if head and not verify:
        msg = "--head was given without --verify; expected both"
        raise BadRequestError(msg)
    if verify:
        check = log.verify(head)
        report({"sound": not check.problems, **asdict(check)}, as_json=json_)
        raise typer.Exit(1 if check.problems else 0)
    entries = list(log.entries())[-last:]
    if json_:
        report({"entries": entries}, as_json=True)
        return
    shown = ("n", "at", "who", "what", "subject", "why")
    table([{name: {**entry, "subject": _subject(entry["about"])}[name] for name in shown} for entry in entries])


def _subject(about: dict[str, object]) -> str:
    return str(about.get("version") or about.get("image_id") or "")


@app.command("report")
def report_(
    version: str,
    out: Annotated[Path, typer.Option(help="HTML file to write; it needs no other file.")],
    json_: JsonFlag = False,
) -> None:
    """Write a page that a regulator can read: change, data, protocol, criteria, results, decision."""
    from lib.imaging.volume import write_bytes
    from lib.registry.page import page

    settings = Settings.from_conf({})
    record = settings.models().record(version)
    history = [
        entry
        for entry in settings.audit().entries()
        if version in (entry["about"].get("version"), entry["about"].get("before"))
    ]
    serving = read_serving(settings.models().folder(record.code))
    write_bytes(page(record, serving, history).encode(), out)
    report({"version": version, "out": str(out)}, as_json=json_)


@app.command()
def sync(json_: JsonFlag = False) -> None:
    """Finish what was interrupted, take over what an earlier release served, and bring MLflow in step."""
    from lib.registry.mirror import bring_in_step, is_installed, store_uri

    os.nice(_NICENESS)
    settings = Settings.from_conf({})
    settings.registry().repair()
    new = bring_in_step(settings.models())
    store = store_uri(settings.models().live) if is_installed() else "MLflow is not installed; make install does that"
    report({"new_in_mlflow": new, "store": store}, as_json=json_)
