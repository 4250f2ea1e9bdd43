"""From the slices of a folder to candidates: one a volume, checked, named and recognised within its study."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom

from lib.domain.ledger import DECIDED
from lib.domain.records import SeriesGuess
from lib.ingest.dicom_series import Stack, stacks_of
from lib.ingest.dicom_slices import Progress, Scan, Slice, quiet_pydicom
from lib.ingest.headers import SeriesHeader, header_of_dataset
from lib.ingest.identity import Person, clean_description, clean_reason, person_of, shifted_date
from lib.ingest.pseudonym import Pseudonyms
from lib.ingest.study import recognise_study

_SEVERAL_PATIENTS = "its study holds more than one patient ID; expected one"
_NO_PATIENT = "it has no patient ID; expected one, to tell patients apart"
_DAMAGED = "a damaged file lies among its slices"
_CLASH = "different images share one SOP instance UID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One volume to be, with what may be told about it and what may not.

    Attributes:
        series: Key that stands for it everywhere.
        patient: Pseudonym; empty when the patient is not certain.
        description: Cleaned.
        contrast_agent: As the header says, not cleaned.
        person: Words that must not be written; so must ``stack`` not be.
        shift_days: How far the patient's dates move.
        study_date: Moved; empty when the header has none, or the patient is not certain.
    """

    series: str
    patient: str
    study: str
    description: str
    contrast_agent: str
    guess: SeriesGuess
    stack: Stack
    person: Person
    shift_days: int
    study_date: str

    @property
    def order(self) -> tuple[str, str, str, int, str]:
        """Sorts candidates by patient, then in order of examination."""
        first = self.stack.slices[0]
        return self.patient, first.study_date, self.study, first.series_number or 0, self.series


def candidates_of(scan: Scan, names: Pseudonyms, on_progress: Progress) -> list[Candidate]:
    """Check and recognise everything, study by study."""
    studies = _grouped(scan.slices, "study_uid")
    damaged = _series_with_damage(scan)
    found: list[Candidate] = []
    for number, slices in enumerate(studies.values(), start=1):
        found += _study(slices, damaged, names)
        on_progress("checking studies", number, len(studies))
    return sorted(found, key=lambda one: one.order)


def decide(candidates: Iterable[Candidate], decided: Mapping[str, str]) -> list[Candidate]:
    """Put a person's decisions in the place of guesses."""
    return [_decided(one, decided[one.series]) if one.series in decided else one for one in candidates]


def _decided(candidate: Candidate, code: str) -> Candidate:
    guess = replace(candidate.guess, code=code, rule=DECIDED, confidence=1.0, runner_up="", reason="a person decided")
    return replace(candidate, guess=guess)


def _study(slices: Sequence[Slice], damaged: set[str], names: Pseudonyms) -> list[Candidate]:
    patient_ids = {one.patient_id for one in slices}
    problem = _SEVERAL_PATIENTS if len(patient_ids) > 1 else "" if all(patient_ids) else _NO_PATIENT
    stacks = []
    for series_uid, series in _grouped(slices, "series_uid").items():
        kept, clash = _without_copies(series)
        worse = problem or (_DAMAGED if series_uid in damaged else "") or clash
        stacks += [replace(stack, problem=worse or stack.problem) for stack in stacks_of(kept)]
    read = [_first_header(stack.slices[0].path) for stack in stacks]
    guesses = recognise_study([header for header, _ in read])
    return [
        _candidate(stack, header, guess, person, "" if problem else next(iter(patient_ids)), names)
        for stack, (header, person), guess in zip(stacks, read, guesses, strict=True)
    ]


def _candidate(
    stack: Stack, header: SeriesHeader, guess: SeriesGuess, person: Person, patient_id: str, names: Pseudonyms
) -> Candidate:
    texts = (header.series_description, header.protocol_name)
    first, shift_days = stack.slices[0], names.shift_days(patient_id)
    return Candidate(
        series=names.series(first.series_uid, stack.part),
        patient=names.patient(patient_id) if patient_id else "",
        study=names.study(first.study_uid),
        description=clean_description(texts[0] or texts[1], person),
        contrast_agent=header.contrast_agent,
        guess=replace(guess, reason=clean_reason(guess.reason, texts, person)),
        stack=stack,
        person=person,
        shift_days=shift_days,
        study_date=shifted_date(first.study_date, shift_days) if patient_id else "",
    )


def _first_header(path: Path) -> tuple[SeriesHeader, Person]:
    with quiet_pydicom():
        dataset: pydicom.Dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        return header_of_dataset(dataset), person_of(dataset)


def _grouped(slices: Iterable[Slice], name: str) -> dict[str, list[Slice]]:
    groups: dict[str, list[Slice]] = {}
    for one in slices:
        groups.setdefault(getattr(one, name), []).append(one)
    return groups


def _without_copies(slices: Sequence[Slice]) -> tuple[list[Slice], str]:
    """Drop files that lie there twice; a problem when two that say they are the same image differ."""
    kept: dict[tuple[str, int | None], Slice] = {}
    for one in slices:
        key = (one.sop_uid or str(one.path), one.frame)
        if key in kept and _sha256(kept[key].path) != _sha256(one.path):
            return list(slices), _CLASH
        kept.setdefault(key, one)
    return list(kept.values()), ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _series_with_damage(scan: Scan) -> set[str]:
    """Series that lie alone in a folder together with a damaged file: most likely it is a slice of theirs."""
    folders = {path.parent for path in scan.damaged}
    beside: dict[Path, set[str]] = {}
    for one in scan.slices:
        if one.path.parent in folders:
            beside.setdefault(one.path.parent, set()).add(one.series_uid)
    return {series for found in beside.values() if len(found) == 1 for series in found}
