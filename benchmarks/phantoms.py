"""Detection and DSC of the weights that serve, per sequence, GE and other vendors apart, on phantoms they never saw.

    python -m benchmarks.phantoms --patients 30 --seed 900001 --json phantoms.json

The seed must differ from the one the weights were trained on (``make weights`` uses 1). Detection: the prediction
touches any voxel of the reference's masses. DSC: of all mass voxels of an image, over the images that hold a mass.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median

import numpy as np

from benchmarks.foreign import FOREIGN, add_foreign
from lib.configs.settings import Settings
from lib.domain.cohort import read_cohort
from lib.domain.records import CaseRecord, CaseScore
from lib.domain.sequences import SEQUENCES
from lib.imaging.metrics import score_case
from lib.imaging.volume import read_label, read_volume
from lib.infers.propose import Proposer
from lib.phantom.cohort import generate_cohort


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--patients", type=int, default=30)
    options.add_argument("--seed", type=int, default=900_001)
    options.add_argument("--cohort", type=Path, help="use this folder; generated when it does not exist")
    options.add_argument("--sequences", nargs="+", default=list(SEQUENCES), help="score only these")
    options.add_argument("--json", type=Path, help="write every score here")
    options.add_argument(
        "--foreign", action="store_true", help="the same patients, on a scanner that nobody learned from"
    )
    given = options.parse_args()
    if given.foreign:
        add_foreign()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.cohort or Path(temporary) / "cohort"
        if not (folder / "cohort.csv").is_file():
            vendors = [FOREIGN] if given.foreign else None
            generate_cohort(folder, patients=given.patients, seed=given.seed, vendors=vendors)
        started = time.monotonic()
        scored = [
            (record, *_score(folder, record)) for record in read_cohort(folder) if record.sequence in given.sequences
        ]
    print(f"{len(scored)} images in {time.monotonic() - started:.0f} s\n")
    print(table([(record, score) for record, score, _ in scored], given.sequences))
    if given.json:
        rows = [{**asdict(record), **asdict(score), "model_version": version} for record, score, version in scored]
        given.json.write_text(json.dumps(rows, indent=1))


PROPOSER = Proposer(Settings.from_conf({}).models())


def _score(folder: Path, record: CaseRecord) -> tuple[CaseScore, str]:
    image = read_volume(folder / f"{record.image_id}.nii.gz")
    reference = read_label(folder / "labels" / "final" / f"{record.image_id}.nii.gz")
    proposal = PROPOSER.propose(image, requested=record.sequence)
    label, truth = (np.asarray(volume.data, np.uint8) for volume in (proposal.label, reference))
    return score_case(record.image_id, label, truth), proposal.model_version


def table(scored: Sequence[tuple[CaseRecord, CaseScore]], codes: Sequence[str]) -> str:
    """Markdown: a row per sequence and group."""
    lines = [
        "| sequence | scanners | images with mass | detected | median mass DSC | mean mass DSC | median kidney DSC | false positives per image |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for code in codes:
        for group in ("GE", "other"):
            scores = [s for r, s in scored if r.sequence == code and (r.vendor == "GE") == (group == "GE")]
            lines.append(f"| {code} | {group} | " + " | ".join(_figures(scores)) + " |")
    return "\n".join(lines)


def _figures(scores: Sequence[CaseScore]) -> list[str]:
    with_mass = [score for score in scores if score.found is not None]
    if not with_mass:
        return ["0", "-", "-", "-", "-", "-"]
    masses = [score.dice["mass"] or 0.0 for score in with_mass]
    kidneys = [value for score in scores if (value := score.dice["kidney"]) is not None]
    return [
        str(len(with_mass)),
        f"{fmean(bool(score.found) for score in with_mass):.0%}",
        f"{median(masses):.3f}",
        f"{fmean(masses):.3f}",
        f"{median(kidneys):.3f}",
        f"{fmean(score.false_positives for score in scores):.2f}",
    ]


if __name__ == "__main__":
    main()
