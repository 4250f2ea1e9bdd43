"""DICOM into a cohort folder: images first, the table next, ``import.json`` last; nothing is ever overwritten.

A run that breaks off leaves whole images that no table names; the next run finds that they are what it would write
and puts them into the table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.domain.cohort import COHORT_TABLE, read_cohort
from lib.domain.errors import BadCohortError, BadDicomError, BadRequestError
from lib.domain.ledger import DECIDED, DUPLICATE, IMPORTED, SKIPPED, SeriesRow, in_order, read_ledger
from lib.domain.sequences import OTHER, SEQUENCES, UNKNOWN
from lib.ingest.cohort_writer import CohortWriter
from lib.ingest.decisions import parse_decisions, read_decisions, write_decisions
from lib.ingest.dicom_files import open_source
from lib.ingest.dicom_slices import Progress, scan_files
from lib.ingest.dicom_studies import Candidate, candidates_of, decide
from lib.ingest.pseudonym import Pseudonyms, open_key
from lib.ingest.study import SURE

_CENTRE = re.compile(r"\w[\w .()-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What one run found and did.

    Attributes:
        rows: One a series, in order.
        imported: Ids of the images that this run wrote.
        already: Ids of images that an earlier run wrote from series of this folder.
        not_dicom: Files that are something else.
        damaged: Numbers, from 1 in sorted order, of the files that are damaged DICOM.
        dead_links: Links that lead nowhere or in a circle.
    """

    rows: tuple[SeriesRow, ...]
    imported: tuple[str, ...]
    already: tuple[str, ...]
    files: int
    not_dicom: int
    damaged: tuple[int, ...]
    dead_links: int


def import_dicom(
    source: Path,
    into: Path,
    *,
    centre: str,
    key_file: Path,
    decisions: Sequence[str] = (),
    on_progress: Progress = lambda *_: None,
) -> ImportResult:
    """Bring a folder or zip archive of DICOM into a cohort folder.

    Args:
        source: Folder, however deep, or zip archive.
        into: Cohort folder; made when something is imported.
        centre: Name that stands for the hospital.
        key_file: Key of the pseudonyms; made on first use.
        decisions: ``SERIES=CODE``, stored beside the key for every later run.
        on_progress: Called with what is done, how many and of how many.

    Raises:
        BadDicomError: When the source cannot be opened.
        BadCohortError: When the folder is no cohort, or its tables cannot be read.
        BadKeyError: When the key cannot be trusted.
        BadRequestError: When the centre or a decision makes no sense.
    """
    if not _CENTRE.fullmatch(centre):
        msg = "the centre's name has other signs than letters, digits, space and _.()-, or is over 64 long"
        raise BadRequestError(msg)
    requested = parse_decisions(decisions)
    _check_folder(into)
    with open_source(source) as found, open_key(key_file, into) as key:
        scan = scan_files(found.paths, on_progress)
        names = Pseudonyms(key=key, centre=centre)
        candidates = candidates_of(scan, names, on_progress)
        cohort = CohortWriter(folder=into, names=names, ledger=read_ledger(into))
        cohort.check_owner({one.patient for one in candidates})
        decided = _store_decisions(requested, candidates, cohort, key_file.expanduser().parent)
        rows = bring_in(decide(candidates, decided), cohort, on_progress)
        cohort.finish(rows)
    return ImportResult(
        rows=tuple(in_order(rows)),
        imported=tuple(cohort.new),
        already=tuple(cohort.already),
        files=len(found.paths),
        not_dicom=scan.not_dicom,
        damaged=scan.damaged_numbers,
        dead_links=found.dead_links,
    )


def _check_folder(into: Path) -> None:
    if into.exists() and not into.is_dir():
        msg = "the cohort is a file; expected a cohort folder, or a new one"
        raise BadCohortError(msg)
    if (into / COHORT_TABLE).exists():
        read_cohort(into)
    read_ledger(into)


def _store_decisions(
    requested: Mapping[str, str], candidates: Sequence[Candidate], cohort: CohortWriter, folder: Path
) -> dict[str, str]:
    """Join this run's decisions with the earlier ones.

    Raises:
        BadRequestError: When one names a series that does not lie here, or one that is an image of another sequence.
    """
    if missing := set(requested) - {one.series for one in candidates}:
        msg = f"no series {min(missing)!r} in this folder; expected a series of the table that import prints"
        raise BadRequestError(msg)
    stored = read_decisions(folder)
    joined = {**stored, **requested}
    for one in candidates:
        row = cohort.row_of(one.series)
        if row and joined.get(one.series, row.code) != row.code:
            msg = f"{one.series} is in the cohort as {row.image_id}; remove that image and its row, then decide"
            raise BadRequestError(msg)
    if joined != stored:
        write_decisions(joined, folder)
    return joined


def bring_in(
    candidates: Sequence[Candidate], cohort: CohortWriter, on_progress: Progress = lambda *_: None
) -> list[SeriesRow]:
    """Import what can be; of each study's series of one sequence the best candidate that converts."""
    rivals: dict[tuple[str, str, str], list[Candidate]] = {}
    rows: list[SeriesRow] = []
    for one in candidates:
        if row := _settled(one, cohort):
            rows.append(row)
        else:
            rivals.setdefault((one.patient, one.study, one.guess.code), []).append(one)
    for number, several in enumerate(rivals.values(), start=1):
        rows += _best_of(several, cohort)
        on_progress("converting", number, len(rivals))
    return rows


def _settled(candidate: Candidate, cohort: CohortWriter) -> SeriesRow | None:
    """The row of a candidate that needs no conversion; None for one that is to become an image."""
    if kept := cohort.kept(candidate):
        return kept
    if candidate.stack.problem:
        return _row(candidate, SKIPPED, why=candidate.stack.problem)
    guess = candidate.guess
    if guess.code == OTHER:
        return _row(candidate, OTHER, why=guess.reason)
    if guess.code not in SEQUENCES or guess.confidence < SURE:
        doubt = "" if guess.code not in SEQUENCES else f", but a confidence of {guess.confidence:.2f} is too low"
        return _row(
            candidate, UNKNOWN, why=f"{guess.reason}{doubt}; a person decides: --decide {candidate.series}=CODE"
        )
    return None


def _best_of(candidates: Sequence[Candidate], cohort: CohortWriter) -> list[SeriesRow]:
    """Import the surest candidate, the one with most slices among equals; the next when it does not convert."""
    ranked = sorted(
        candidates,
        key=lambda one: (one.guess.rule != DECIDED, -one.guess.confidence, -len(one.stack.slices), one.order),
    )
    image_id = cohort.image_id(ranked[0])
    owner = cohort.owner(image_id)
    rows = []
    for one in ranked:
        if owner:
            rows.append(cohort.skipped_before(one) or _row(one, DUPLICATE, why=f"{owner} was taken for {image_id}"))
            continue
        try:
            cohort.add(one, image_id)
        except BadDicomError as error:
            rows.append(_row(one, SKIPPED, why=one.person.scrub(str(error))))
            continue
        owner = one.series
        rows.append(_row(one, IMPORTED, image_id=image_id))
    return rows


def _row(candidate: Candidate, status: str, *, image_id: str = "", why: str = "") -> SeriesRow:
    guess, stack = candidate.guess, candidate.stack
    return SeriesRow(
        series=candidate.series,
        patient=candidate.patient,
        study=candidate.study,
        study_date=candidate.study_date,
        series_number=stack.slices[0].series_number,
        description=candidate.description,
        part=stack.note,
        slices=len(stack.slices),
        code=guess.code,
        rule=guess.rule,
        confidence=round(guess.confidence, 3),
        runner_up=guess.runner_up,
        reason=guess.reason,
        status=status,
        image_id=image_id,
        why=why,
    )
