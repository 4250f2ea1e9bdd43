"""Kidney Dice and overlays on real MR, against the masks that lie beside the images.

    python -m benchmarks.real_mr ../shared/data/real_mr --out overlays

Expects the folder that holds ``renal_compartment`` (two healthy volunteers; masks by a published U-Net) and
``totalsegmentator`` (one slab; organ labels by a model). None of these weights was trained on them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.configs.settings import Settings
from lib.domain.structures import BACKGROUND
from lib.imaging.geometry import resample_onto
from lib.imaging.metrics import dice
from lib.imaging.overlay import save_overlay
from lib.imaging.volume import Volume, read_volume
from lib.infers.propose import Proposer

TOTALSEGMENTATOR_KIDNEYS = (2, 3)  # right, left, in its MR class table


@dataclass(frozen=True, slots=True, kw_only=True)
class RealCase:
    """An image, the sequence it is known to be, and its kidney mask when there is one."""

    name: str
    image: Path
    sequence: str
    mask: Path | None
    kidney_values: tuple[int, ...] = (1,)


def real_cases(folder: Path) -> Iterator[RealCase]:
    """Every image below the folder."""
    for image in sorted((folder / "renal_compartment").glob("*W.nii.gz")):
        stem, code = image.name.removesuffix(".nii.gz"), "T1WI" if "T1W" in image.name else "T2WI"
        mask = image.with_name(f"{stem.rpartition('_')[0]}_T2W_mask.nii.gz")  # one mask a volunteer, drawn on T2
        yield RealCase(name=stem, image=image, sequence=code, mask=mask if mask.is_file() else None)
    slab = folder / "totalsegmentator" / "example_mr_sm.nii.gz"
    if slab.is_file():
        mask = slab.with_name("example_seg_mr.nii.gz")
        values = TOTALSEGMENTATOR_KIDNEYS
        yield RealCase(name="slab", image=slab, sequence="", mask=mask, kidney_values=values)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--out", type=Path, default=Path("overlays"))
    given = options.parse_args()
    proposer = Proposer(Settings.from_conf({}).models())
    rows = [evaluate(case, proposer, given.out) for case in real_cases(given.folder)]
    (given.out / "real_mr.json").write_text(json.dumps(rows, indent=1))
    print(json.dumps(rows, indent=1))


def evaluate(case: RealCase, proposer: Proposer, out: Path) -> dict[str, object]:
    """Propose, save the overlay, and score the kidneys; a mass or cyst inside a kidney counts as kidney."""
    image = read_volume(case.image)
    proposal = proposer.propose(image, requested=case.sequence)
    save_overlay(image, proposal.label, out / f"{case.name}.png", f"{case.name} as {proposal.sequence.code}")
    score = None
    if case.mask:
        reference = _kidneys(case, image)
        score = dice(proposal.label.data != BACKGROUND, reference)
    return {
        "image": case.name,
        "sequence": proposal.sequence.code,
        "why": proposal.sequence.reason,
        "kidney_dice": score if score is None else round(score, 3),
        "masses": len(proposal.masses),
    }


def _kidneys(case: RealCase, image: Volume) -> NDArray[np.bool_]:
    """The mask on the image's grid: drawn on T2, it is sampled at T1's voxel centres."""
    assert case.mask is not None
    mask = read_volume(case.mask)
    values = np.isin(np.rint(mask.data), case.kidney_values).astype(np.uint8)
    return np.asarray(resample_onto(Volume(data=values, affine=mask.affine), image), np.uint8) > 0


if __name__ == "__main__":
    main()
