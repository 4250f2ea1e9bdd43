"""Images a second of the evaluation's scoring, and of the same measures by MONAI on whole volumes, in the same run.

    python -m benchmarks.evaluation --patients 4 --workers 2

Images are phantoms, predictions their labels moved by a voxel. Scored are, for each of the three regions, DSC,
surface Dice at 2 mm, HD95 and volume error, and the detection of masses by any overlap. MONAI has no detection by
component: scipy's labelling of the whole volume stands in for it. Reading the files counts for both.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage

from lib.domain.criteria import SURFACE_TOLERANCE_MM
from lib.domain.records import RegionScore
from lib.domain.structures import MASS, REGIONS, STRUCTURES
from lib.evaluation.cases import CaseFiles, Measure
from lib.evaluation.scoring import score_cases
from lib.imaging.volume import Volume, nifti_files, read_label, write_volume
from lib.phantom.cohort import generate_cohort

AGREE = {"dice": 1e-6, "surface_dice": 1e-6, "hd95_mm": 1e-3, "volume_error_ml": 1e-6}  # float32 on MONAI's side
T = TypeVar("T")
TARGET_S = 600 / 1000  # a thousand images in ten minutes


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--patients", type=int, default=4)
    options.add_argument("--seed", type=int, default=900_002)
    options.add_argument("--cohort", type=Path, help="use the labels of this folder instead")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--limit", type=int, default=0, help="score only the first so many images")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        cohort = given.cohort or Path(temporary) / "cohort"
        if not given.cohort:
            generate_cohort(cohort, patients=given.patients, seed=given.seed)
        cases = moved_predictions(cohort, Path(temporary) / "predictions", given.limit)
        ours, one = timed(lambda: score_cases(cases, Measure()))
        _, many = timed(lambda: score_cases(cases, Measure(), workers=given.workers))
        theirs, monai = timed(lambda: [by_monai(case) for case in cases])
    for case, row in zip(cases, theirs, strict=True):
        scored = ours[case.image_id].scored
        assert scored is not None
        check(scored.regions, row)
    found: dict[str, Any] = {"images": len(cases)}
    for name, took in (("one process", one), (f"{given.workers} processes", many), ("MONAI", monai)):
        each = {f"{unit}_per_image": round(seconds / len(cases), 3) for unit, seconds in took.items()}
        found[name] = {"images_per_s": round(len(cases) / took["clock_s"], 2), **each}
    found["thousand images in ten minutes"] = many["clock_s"] / len(cases) <= TARGET_S
    print(json.dumps(found, indent=1))


def moved_predictions(cohort: Path, folder: Path, limit: int) -> list[CaseFiles]:
    """Write every label again, moved by a voxel along each axis."""
    cases = []
    for image_id, path in sorted(nifti_files(cohort / "labels" / "final").items())[: limit or None]:
        label = read_label(path)
        prediction = folder / f"{image_id}.nii.gz"
        write_volume(Volume(data=np.roll(label.data, 1, (0, 1, 2)), affine=label.affine), prediction)
        cases.append(CaseFiles(image_id=image_id, image=None, reference=path, told={}, prediction=prediction))
    return cases


def timed(work: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """A result with what it took: seconds by the clock, and of the processors, those of child processes too."""
    started, before = time.perf_counter(), sum(os.times()[:4])
    result = work()
    return result, {"clock_s": time.perf_counter() - started, "cpu_s": sum(os.times()[:4]) - before}


def by_monai(case: CaseFiles) -> dict[str, dict[str, float]]:
    """The same measures of one case on whole volumes."""
    assert case.prediction is not None
    prediction, reference = read_label(case.prediction), read_label(case.reference)
    labelled, _ = ndimage.label(reference.data == MASS, np.ones((3, 3, 3)))
    np.unique(labelled[prediction.data == MASS])
    return {name: region_by_monai(prediction, reference, names) for name, names in REGIONS.items()}


def region_by_monai(prediction: Volume, reference: Volume, names: tuple[str, ...]) -> dict[str, float]:
    values = [STRUCTURES[name].value for name in names]
    masks = [torch.from_numpy(np.isin(one.data, values))[None, None] for one in (prediction, reference)]
    spacing = reference.spacing_mm
    voxel_ml = math.prod(spacing) / 1000
    return {
        "dice": float(compute_dice(*masks, include_background=True)),
        "surface_dice": float(compute_surface_dice(*masks, [SURFACE_TOLERANCE_MM], True, spacing=spacing)),
        "hd95_mm": float(compute_hausdorff_distance(*masks, True, percentile=95, spacing=spacing)),
        "volume_error_ml": (int(masks[0].sum()) - int(masks[1].sum())) * voxel_ml,
    }


def check(ours: Mapping[str, RegionScore], theirs: dict[str, dict[str, float]]) -> None:
    """Refuse to compare speeds of different results."""
    for region, measures in theirs.items():
        for name, value in measures.items():
            mine = getattr(ours[region], name)
            if mine is not None and math.isfinite(value) and abs(mine - value) > AGREE[name]:
                msg = f"{region} {name}: {mine} here, {value} by MONAI"
                raise SystemExit(msg)


if __name__ == "__main__":
    main()
