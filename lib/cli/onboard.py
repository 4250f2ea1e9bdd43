"""``onboard``: a folder of DICOM from a new scanner to a report that says whether proposals on it may be used.

Each step leaves a file in ``COHORT/onboarding/CENTRE/``; a step whose inputs have not changed is not done again. Given
once more when some of its patients are labelled, the command fine-tunes, judges, and writes the page's second half.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lib.cli.imports import (
    DEFAULT_KEY,
    CentreOption,
    DecideOption,
    DicomArgument,
    IntoOption,
    KeyOption,
    Progress,
)
from lib.cli.report import JsonFlag, report
from lib.configs.settings import Settings
from lib.domain.errors import NotEnoughLabelsError, RenalError, UnknownModelError
from lib.domain.records import CaseRecord, LabelledImage, scanner_name
from lib.domain.sequences import OTHER, SEQUENCES, UNKNOWN

if TYPE_CHECKING:
    from lib.ingest.dicom import ImportResult
    from lib.onboarding.readiness import Adapted, Onboarding, Proposed, Question

logger = logging.getLogger(__name__)

FOLDER = "onboarding"
_SAFE = re.compile(r"[^A-Za-z0-9_-]+")
_LATER = "later"


def onboard(
    dicom: DicomArgument,
    into: IntoOption,
    centre: CentreOption,
    key: KeyOption = DEFAULT_KEY,
    decide: DecideOption = None,
    patients: Annotated[int, typer.Option(min=1, help="How many to name for labelling first.")] = 10,
    minutes: Annotated[float, typer.Option(min=0.01, help="Of fine-tuning, per sequence.")] = 10.0,
    rehearse: Annotated[
        Path | None, typer.Option(help="Another cohort folder with labels of the old scanners.")
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Let a fine-tuned version that the gate accepts serve.")
    ] = False,
    json_: JsonFlag = False,
) -> None:
    """Import a new scanner's images, say how ready the app is for it, and fine-tune once some are labelled."""
    settings = Settings.from_conf({})
    imported = _import(dicom, into, centre, key, decide or [], ask=sys.stdin.isatty() and not json_)
    folder = into / FOLDER / (_SAFE.sub("-", centre).strip("-") or "centre")
    images = _images(into, {row.image_id for row in imported.rows if row.image_id})
    found = _readiness(centre, images, imported, folder, settings, patients)
    cpu_s = time.process_time()
    _write(found, folder)
    logger.info("readiness report written: %s", folder.name)
    found = _fine_tune(found, into, images, folder, settings, minutes=minutes, rehearse=rehearse, promote=promote)
    page = _write(found, folder)
    report(_summary(found, page, cpu_s), as_json=json_)
    if not found.sequences:
        raise typer.Exit(1)


def _write(found: Onboarding, folder: Path) -> Path:
    from lib.imaging.volume import write_bytes
    from lib.onboarding.page import write_page

    write_bytes(json.dumps(asdict(found), default=str).encode(), folder / "report.json")
    return write_page(found, folder)


def _summary(found: Onboarding, page: Path, cpu_s: float) -> dict[str, object]:
    from lib.onboarding.page import overall, recommendations

    advice = overall(found)
    return {
        "recommendation": advice.advice,
        "reason": advice.reason,
        "sequences": {code: one.advice for code, one in recommendations(found).items()},
        "to_decide": len(found.questions),
        "label_first": [choice.patient_id for choice in found.choices],
        "fine_tuned": [one.version for one in found.adapted],
        "readiness_cpu_s": round(cpu_s, 1),
        "report": str(page),
    }


# ---- import


def _import(dicom: Path, into: Path, centre: str, key: Path, decide: Sequence[str], *, ask: bool) -> ImportResult:
    from lib.ingest.dicom import import_dicom

    def run(decisions: Sequence[str]) -> ImportResult:
        progress = Progress()
        try:
            return import_dicom(
                dicom, into, centre=centre, key_file=key, decisions=decisions, on_progress=progress.show
            )
        finally:
            progress.end()

    result = run(decide)
    answers = [answer for one in _questions(result) if (answer := _ask(one))] if ask else []
    return run([*decide, *answers]) if answers else result


def _ask(question: Question) -> str:
    """Ask a person what a series is; empty when they want to decide later."""
    choices = [*SEQUENCES, OTHER, _LATER]
    print(f"\n{question.description or 'a series without a description'}: {question.why}")
    answer = str(typer.prompt(f"What is it ({', '.join(choices)})?", default=_LATER)).strip()
    code = next((one for one in choices if one.lower() == answer.lower()), _LATER)
    return "" if code == _LATER else f"{question.series}={code}"


def _questions(result: ImportResult) -> list[Question]:
    from lib.onboarding.readiness import Question

    return [
        Question(
            series=row.series,
            description=row.description,
            why=row.why.partition("; a person decides")[0],
            answer=f"--decide {row.series}={row.runner_up if row.runner_up in SEQUENCES else 'CODE'}",
        )
        for row in result.rows
        if row.status == UNKNOWN
    ]


def _images(into: Path, own: set[str]) -> list[tuple[CaseRecord, Path]]:
    from lib.cli.predict import images_of

    return [(row, path) for row, path in images_of(into) if row.image_id in own] if own else []


# ---- readiness


def _readiness(
    centre: str,
    images: Sequence[tuple[CaseRecord, Path]],
    imported: ImportResult,
    folder: Path,
    settings: Settings,
    patients: int,
) -> Onboarding:
    from lib.configs.onboarding import known_distributions
    from lib.onboarding.choose import choose_patients
    from lib.onboarding.measuring import look_at_all
    from lib.onboarding.readiness import Onboarding, readiness
    from lib.trainers.described import feature_reader

    models = settings.models()
    read, _ = feature_reader(models)
    looked, unread = look_at_all(images, read, folder / "measured.json")
    proposals, refused = _propose(images, folder, settings)
    known = known_distributions(models, sorted({one.sequence for one in looked}))
    sequences = readiness(looked, proposals, known)
    zero = [image for one in sequences for image in one.images]
    return Onboarding(
        centre=centre,
        scanners=tuple(sorted({one.scanner for one in looked if one.scanner})),
        imported=len(images),
        questions=tuple(_questions(imported)),
        refused={**refused, **unread},
        made_from=tuple(one.made_from for one in known),
        sequences=tuple(sequences),
        choices=tuple(choose_patients(zero, patients, settings.salt)),
    )


def _propose(
    images: Sequence[tuple[CaseRecord, Path]], folder: Path, settings: Settings
) -> tuple[dict[str, Proposed], dict[str, str]]:
    """Propose for each image what the server would; what an earlier run proposed with the same weights is kept."""
    from lib.domain.cohort import recorded_sequence
    from lib.imaging.sidecar import read_object, read_sidecar
    from lib.imaging.volume import read_volume, write_bytes, write_volume
    from lib.infers.propose import Proposer
    from lib.infers.waiting import key_of
    from lib.onboarding.readiness import Proposed
    from lib.registry.models import FINDER

    models, notes_file = settings.models(), folder / "proposals" / "proposals.json"
    notes: dict[str, Any] = read_object(notes_file)
    proposer: Proposer | None = None
    done: dict[str, Proposed] = {}
    refused: dict[str, str] = {}
    for number, (record, path) in enumerate(images, start=1):
        key = key_of([path, models.find(record.sequence), models.find(FINDER)], record.sequence)
        note = notes.get(record.image_id, {})
        if note.get("key") != key:
            proposer = proposer or Proposer(models, settings.device)
            try:
                proposal = proposer.propose(
                    read_volume(path),
                    metadata=recorded_sequence(record),
                    image_id=record.image_id,
                    sidecar=read_sidecar(path),
                )
            except RenalError as error:
                refused[record.image_id] = f"{type(error).__name__}: {error}"
                continue
            write_volume(proposal.label, folder / "proposals" / f"{record.image_id}.nii.gz")
            note = {"key": key, **proposal.to_json()}
            notes[record.image_id] = note
            write_bytes(json.dumps(notes).encode(), notes_file)
            logger.info("proposal %d of %d", number, len(images))
        done[record.image_id] = Proposed.from_reply(record.image_id, note)
    return done, refused


# ---- fine-tuning


def _fine_tune(
    found: Onboarding,
    into: Path,
    images: Sequence[tuple[CaseRecord, Path]],
    folder: Path,
    settings: Settings,
    *,
    minutes: float,
    rehearse: Path | None,
    promote: bool,
) -> Onboarding:
    """Fine-tune the sequences of which the new scanner has labels; what was done with the same labels is kept."""
    from lib.cli.train import labelled_images
    from lib.imaging.sidecar import read_object
    from lib.imaging.volume import write_bytes
    from lib.onboarding.readiness import adapted_from

    new = {record.image_id for record, _ in images}
    names = {scanner_name(record.vendor, record.scanner_model) for record, _ in images}
    kept_file = folder / "adapted.json"
    kept: dict[str, Any] = read_object(kept_file)
    adapted: list[Adapted] = []
    waiting: dict[str, str] = {}
    for one in found.sequences:
        cases = labelled_images(into, one.code)
        if not any(case.image_id in new for case in cases):
            waiting[one.code] = "no image of this scanner is labelled yet"
            continue
        cases += labelled_images(rehearse, one.code) if rehearse else []
        made_from = _labels_key(cases)
        note = kept.get(one.code, {})
        if note.get("labels") != made_from:
            try:
                made = _adapt(one.code, cases, new, names, settings, minutes=minutes, promote=promote)
            except (NotEnoughLabelsError, UnknownModelError) as error:
                waiting[one.code] = str(error)
                continue
            note = {"labels": made_from, "adapted": asdict(made)}
            kept[one.code] = note
            write_bytes(json.dumps(kept).encode(), kept_file)
        adapted.append(adapted_from(note["adapted"]))
    return replace(found, adapted=tuple(adapted), waiting=waiting)


def _labels_key(cases: Sequence[LabelledImage]) -> str:
    lines = sorted(f"{case.image_id} {case.label_sha256}" for case in cases)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _adapt(
    code: str,
    cases: Sequence[LabelledImage],
    new: set[str],
    names: set[str],
    settings: Settings,
    *,
    minutes: float,
    promote: bool,
) -> Adapted:
    from lib.nets.trainee import GENTLE, FitSettings
    from lib.onboarding.readiness import Adapted
    from lib.onboarding.verdict import by_scanner, recovered, with_labels
    from lib.trainers.adapt import adapt

    fit = FitSettings(minutes=minutes, device=settings.device, learning_rate=GENTLE)
    done = adapt(code, cases, new, settings.registry(), fit, salt=settings.salt, gate=settings.gate, promote=promote)
    rows = by_scanner(done.before, done.after, names, settings.gate)
    return Adapted(
        code=code,
        version=done.version,
        taught=done.taught,
        rehearsed=done.rehearsed,
        decision=done.decision,
        rows=tuple(rows),
        recovered=recovered(rows),
        recommendation=with_labels(rows, done.decision, settings.gate),
    )
