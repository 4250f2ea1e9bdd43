"""What the admin's page shows, as tables: labels, queue, runs, versions, quality, jobs, audit trail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median

from lib.configs.jobs import JOB_KINDS, Job
from lib.configs.settings import Settings
from lib.domain.records import scanner_name
from lib.domain.sequences import SEQUENCES
from lib.evaluation.page.table import Row, RowGroup, Table
from lib.loop.monitoring import Course
from lib.registry.runs import RUNNING, Run
from lib.registry.serving import read_serving
from lib.registry.versions import VersionRecord, version_in
from lib.store.cohort import CohortStore
from lib.store.worklist import WorkList

LATEST_RUNS = 10
LATEST_ENTRIES = 40
_LAST = 20
_NONE = "–"


def labelled(store: CohortStore) -> Table:
    """Labelled of all images, a row a centre and scanner, a column a sequence."""
    records, done = store.records(), set(store.labelled_ids())
    total: Counter[tuple[str, str, str]] = Counter()
    have: Counter[tuple[str, str, str]] = Counter()
    for image_id, record in records.items():
        cell = (
            record.centre or "unknown",
            scanner_name(record.vendor, record.scanner_model) or "unknown",
            record.sequence,
        )
        total[cell] += 1
        have[cell] += image_id in done
    codes = [code for code in (*SEQUENCES, "") if any(cell[2] == code for cell in total)]
    places = sorted({cell[:2] for cell in total})
    rows = [
        (f"{centre}, {scanner}", *(_share(have[centre, scanner, code], total[centre, scanner, code]) for code in codes))
        for centre, scanner in places
    ]
    sums = (
        _share(sum(n for c, n in have.items() if c[2] == code), sum(n for c, n in total.items() if c[2] == code))
        for code in codes
    )
    return Table(
        name="labelled",
        caption="Images with a final label, of all images",
        columns=("Centre and scanner", *(code or "not recognised" for code in codes)),
        groups=[RowGroup(title="", rows=[*rows, ("All", *sums)] if rows else [])],
        absent="There is no image yet.",
    )


def queue(store: CohortStore) -> Table:
    """Who is labelling what just now."""
    work = WorkList(store)
    rows = [(image, holder or "somebody", f"{_clock(until_s)} UTC") for image, holder, until_s in work.leases()]
    waiting = Counter(one.sequence or "not recognised" for one in work.candidates())
    left = ", ".join(f"{code} {count}" for code, count in sorted(waiting.items())) or "none"
    return Table(
        name="queue",
        caption="Being labelled now",
        columns=("Image", "By", "Kept until"),
        groups=[RowGroup(title="", rows=rows)],
        absent="Nobody holds an image.",
        note=f"Images without a label: {left}.",
    )


def runs(found: Sequence[Run]) -> Table:
    """Training runs, the latest first."""
    return Table(
        name="runs",
        caption="Training runs, the latest first",
        columns=("Run", "State", "Images", "Epoch", "Loss", "Validation Dice", "Left", "Why"),
        groups=[RowGroup(title="", rows=[_run(run) for run in found])],
        absent="No run yet.",
    )


def _run(run: Run) -> Row:
    last = run.epochs[-1] if run.epochs else None
    dice = next((report.dice for report in reversed(run.epochs) if report.dice), {})
    left = f"{last.eta_s / 60:.0f} min" if last and run.status == RUNNING else _NONE
    return (
        run.version,
        run.status,
        str(run.images),
        f"{last.epoch} of {last.epochs}" if last else _NONE,
        f"{last.loss:.3f}" if last else _NONE,
        ", ".join(f"{name} {value:.2f}" for name, value in dice.items()) or _NONE,
        left,
        run.why,
    )


def versions(settings: Settings) -> Table:
    """Versions of every sequence with the gate's verdicts, what serves first."""
    models = settings.models()
    groups = []
    for code in dict.fromkeys([*SEQUENCES, *models.codes()]):
        found, serving = models.find(code), read_serving(models.folder(code))
        previous = serving.previous.version if serving and serving.previous else ""
        rows = [
            _version(
                record,
                "serves"
                if found == models.weights(code, record.version)
                else "before"
                if record.version == previous
                else "",
            )
            for record in reversed(models.records(code))
        ]
        if found == models.shipped_file(code):
            rows.insert(0, (version_in(found, code), "serves", "came with the app", "", ""))
        groups.append(RowGroup(title=SEQUENCES[code].title if code in SEQUENCES else code, rows=rows))
    return Table(
        name="versions",
        caption="Versions and the gate's verdicts",
        columns=("Version", "Role", "Verdict", "Created", "Reason"),
        groups=groups,
        absent="No version yet.",
    )


def _version(record: VersionRecord, role: str) -> Row:
    return record.version, role, record.verdict, record.created[:16].replace("T", " "), record.reason


def promotable(settings: Settings) -> list[str]:
    """Versions that do not serve and whose weights are kept, newest first within their sequence."""
    models = settings.models()
    return [
        record.version
        for code in models.codes()
        for record in reversed(models.records(code))
        if (path := models.weights(code, record.version)).is_file() and models.find(code) != path
    ]


def returnable(settings: Settings) -> dict[str, str]:
    """Sequences that can be rolled back, with the version that would serve again."""
    models = settings.models()
    found = {code: read_serving(models.folder(code)) for code in models.codes()}
    return {code: one.previous.version for code, one in found.items() if one and one.previous}


def quality(found: Sequence[Course]) -> Table:
    """Figures of proposals in use, those that changed first."""
    rows = [
        (
            f"{course.sequence} on {course.scanner or 'an unknown scanner'}",
            course.figure.title,
            str(len(course.values)),
            f"{median(course.values[-_LAST:]):.2f}",
            "changed" if course.changed else "",
            course.said,
        )
        for course in sorted(found, key=lambda one: not one.changed)
    ]
    return Table(
        name="quality",
        caption="Proposals in use",
        columns=("Sequence and scanner", "Figure", "Images", f"Median of the last {_LAST}", "Flag", "What is seen"),
        groups=[RowGroup(title="", rows=rows)],
        absent="No proposal was given yet.",
    )


def jobs(found: Sequence[Job]) -> Table:
    """What was started from this page, the latest first."""
    rows = [
        (
            job.name,
            JOB_KINDS[job.kind].title if job.kind in JOB_KINDS else job.kind,
            job.state,
            job.who or _NONE,
            job.began,
            job.ended or _NONE,
        )
        for job in found
    ]
    return Table(
        name="jobs",
        caption="Started from this page, the latest first",
        columns=("Job", "What", "State", "By", "Began", "Ended"),
        groups=[RowGroup(title="", rows=rows)],
        absent="Nothing was started from here yet.",
    )


def trail(entries: Sequence[Mapping[str, object]]) -> Table:
    """The latest entries of the audit log, newest first."""
    rows = [
        (
            str(one["n"]),
            str(one["at"])[:19].replace("T", " "),
            str(one["who"]),
            str(one["what"]),
            str(one.get("why") or ""),
            _about(one),
        )
        for one in reversed(entries)
    ]
    return Table(
        name="trail",
        caption=f"The last {LATEST_ENTRIES} entries of the audit log, newest first",
        columns=("Entry", "When (UTC)", "Who", "What", "Why", "About"),
        groups=[RowGroup(title="", rows=rows)],
        absent="Nothing is on record yet.",
    )


def _about(entry: Mapping[str, object]) -> str:
    about = entry.get("about")
    shown = (
        {name: value for name, value in about.items() if isinstance(value, str | int)}
        if isinstance(about, Mapping)
        else {}
    )
    return ", ".join(f"{name} {value}" for name, value in shown.items() if "sha256" not in name and value != "")


def _share(have: int, total: int) -> str:
    return f"{have} of {total}" if total else _NONE


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M}"
