"""The published study, replayed on phantoms: its three centres, its splits, five networks, its tables beside ours.

    python -m benchmarks.study --out study --patients 24 --minutes 0.5 --small      # minutes on a laptop
    python -m benchmarks.study --out study --patients 988 --minutes 60 --workers 16  # on a GPU server

Centre A has GE scanners: its patients train, choose and, on the holdout side, test (internal). Centre B has other GE
scanners (external), centre C those of other vendors (non-GE); all of their patients test. ``OUT/report/report.html`` is
what ``evaluate`` makes of it; ``OUT/study.md`` puts the medians beside the published ranges. A run that was cut short
goes on where it was: cohort, weights and predictions that are there are not made again.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from lib.domain.cohort import format_cohort, read_cohort
from lib.domain.records import CaseRecord, LabelledImage
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import STRUCTURE_NAMES
from lib.evaluation.cohort import evaluate_cohort
from lib.evaluation.page.render import write_page
from lib.evaluation.report import Options, Report, write_report
from lib.evaluation.results import MASS_REGION
from lib.imaging.volume import read_volume, write_bytes, write_volume
from lib.infers.propose import Proposer
from lib.loop.splits import side_of
from lib.nets.fit import fit
from lib.nets.networks import Plan, save_weights
from lib.nets.trainee import FitSettings
from lib.phantom.cohort import FULL_SIZE, SMALL_SIZE, generate_cohort
from lib.registry.models import ModelFolder

INTERNAL_CENTRE = "A"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--patients", type=int, default=24, help="of all three centres together; the study had 988")
    options.add_argument("--minutes", type=float, default=0.5, help="of training, per sequence")
    options.add_argument("--seed", type=int, default=500_001)
    options.add_argument("--small", action="store_true", help="small images, for a quick look")
    options.add_argument("--sequences", nargs="+", default=list(SEQUENCES), choices=list(SEQUENCES))
    options.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options.add_argument("--device", default="auto")
    given = options.parse_args()
    size = SMALL_SIZE if given.small else FULL_SIZE
    cohort = given.out / "cohort"
    if not (cohort / "cohort.csv").is_file():
        generate_cohort(
            cohort,
            patients=given.patients,
            seed=given.seed,
            sequences=given.sequences,
            size=size,
            workers=given.workers,
        )
    settings = FitSettings(minutes=given.minutes, device=given.device)
    report = replay(given.out, given.sequences, settings, given.workers)
    print((given.out / "study.md").read_text())
    print(f"{report.counts.scored} images scored; {given.out / 'report' / 'report.html'}")


def replay(out: Path, codes: Sequence[str], settings: FitSettings, workers: int = 1) -> Report:
    """Train on centre A, predict what the study tested on, and evaluate; ``out/cohort`` must be there."""
    records = read_cohort(out / "cohort")
    for code in codes:
        if not (out / "weights" / f"{code}.safetensors").is_file():
            _train(out, [record for record in records if record.sequence == code], code, settings)
    tested = [record for record in records if is_tested(record) and record.sequence in codes]
    write_bytes(format_cohort(tested).encode(), _tested(out, tested) / "cohort.csv")
    _predict(out, tested, settings.device)
    made = evaluate_cohort(
        out / "tested",
        out / "predictions",
        Options(internal_centres=(INTERNAL_CENTRE,)),
        keep=out / "report",
        workers=workers,
    )
    write_report(made.report, out / "report")
    write_page(made.report, made.files, out / "report")
    write_bytes(tables(made.report).encode(), out / "study.md")
    return made.report


def is_tested(record: CaseRecord) -> bool:
    """Whether the study tests on a patient: the internal holdout, and everybody elsewhere."""
    return record.centre != INTERNAL_CENTRE or side_of(record.patient_id) == "holdout"


def _train(out: Path, records: Sequence[CaseRecord], code: str, settings: FitSettings) -> None:
    sides: dict[str, list[LabelledImage]] = {"train": [], "validation": [], "holdout": []}
    for record in records:
        if record.centre == INTERNAL_CENTRE:
            sides[side_of(record.patient_id)].append(_labelled(out / "cohort", record))
    plan = Plan(code=code, spacing_mm=SEQUENCES[code].spacing_mm)
    checkpoint = out / "weights" / f"{code}.checkpoint"
    result = fit(sides["train"], sides["validation"], plan, settings, checkpoint=checkpoint)
    notes = {"version": f"study-{code}", "trained_on": str(len(sides["train"]))}
    save_weights(out / "weights" / f"{code}.safetensors", result.state, result.plan, notes)


def _labelled(cohort: Path, record: CaseRecord) -> LabelledImage:
    return LabelledImage(
        image_id=record.image_id,
        patient_id=record.patient_id,
        image=cohort / f"{record.image_id}.nii.gz",
        label=cohort / "labels" / "final" / f"{record.image_id}.nii.gz",
        drawn=frozenset(STRUCTURE_NAMES),
    )


def _tested(out: Path, tested: Sequence[CaseRecord]) -> Path:
    """A cohort folder of the tested images only; the files are links to those of the whole."""
    for record in tested:
        for name in (f"{record.image_id}.nii.gz", f"labels/final/{record.image_id}.nii.gz"):
            link = out / "tested" / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                os.link(out / "cohort" / name, link)
    return out / "tested"


def _predict(out: Path, tested: Sequence[CaseRecord], device: str) -> None:
    """Write what ``predict`` writes, as far as the evaluation reads it."""
    table = out / "predictions" / "predictions.json"
    done = json.loads(table.read_text())["images"] if table.is_file() else {}
    proposer = Proposer(ModelFolder(shipped=out / "weights", live=out / "live"), device)
    for record in tested:
        if record.image_id in done:
            continue
        image = read_volume(out / "tested" / f"{record.image_id}.nii.gz")
        proposal = proposer.propose(image, requested=record.sequence)
        write_volume(proposal.label, out / "predictions" / f"{record.image_id}.nii.gz")
        done[record.image_id] = proposal.to_json()
        write_bytes(json.dumps({"images": done, "failed": {}}).encode(), table)


def tables(report: Report) -> str:
    """Markdown: median mass DSC and detection per sequence and group, and the published figures beside ours."""
    lines = ["| sequence | group | patients | masses | masses found | median mass DSC |", "|---|---|---|---|---|---|"]
    for result in report.results:
        mass = next(region for region in result.regions if region.region == MASS_REGION)
        found, median = result.detection[0].masses, mass.measures["dice"].median
        shown = "-" if median is None else f"{median:.3f}"
        lines.append(
            f"| {result.sequence} | {result.group} | {result.patients} | {found.total} | {found.count} | {shown} |"
        )
    lines += ["", "| figure | published | here | comparable | why not |", "|---|---|---|---|---|"]
    lines += [
        f"| {fact.fact} | {fact.published} | {fact.observed} | {'yes' if fact.comparable else 'no'} | {fact.why} |"
        for fact in report.published
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
