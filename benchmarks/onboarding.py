"""What ten labels of a new scanner buy: the gap to GE that fine-tuning with rehearsal closes, and what it costs on GE.

    python -m benchmarks.onboarding --out onboarding.json --epochs 30 --fine-epochs 12          # small, on a laptop
    python -m benchmarks.onboarding --out onboarding.json --full --patients 120 --epochs 400    # on a GPU server
    python -m benchmarks.onboarding --out onboarding.json --full --foreign --start-from model/shipped/NP.safetensors

A network is trained on GE phantoms alone, or is one that never saw the new scanner (``--start-from``). The new scanner's images come from the vendor that was left out, or, with
``--foreign``, from a made-up scanner (``benchmarks/foreign.py``): the phantoms' vendors look so alike that there may be
no gap to close. Ten of its patients are labelled, the network is
fine-tuned on them with rehearsal of the GE patients, and both networks are scored on patients that neither saw.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from benchmarks.foreign import FOREIGN, add_foreign
from lib.domain.records import CaseScore, LabelledImage
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import STRUCTURE_NAMES
from lib.imaging.volume import write_bytes, write_volume
from lib.loop.rehearsal import rehearsed
from lib.nets.fit import FitResult, fit
from lib.nets.networks import LoadedWeights, Plan, load_weights
from lib.nets.score import score_images
from lib.nets.trainee import GENTLE, FitSettings
from lib.phantom.cohort import FULL_SIZE, SMALL_SIZE, Size, make_case

SEEN = "GE"
LABELLED = 10


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--sequence", default="NP", choices=list(SEQUENCES))
    options.add_argument("--vendor", default="Siemens")
    options.add_argument("--foreign", action="store_true", help="a made-up scanner instead of a vendor of the table")
    options.add_argument("--full", action="store_true", help="images of full size")
    options.add_argument("--start-from", type=Path, help="weights instead of a training on GE alone")
    options.add_argument("--patients", type=int, default=40, help="GE patients to train on")
    options.add_argument("--test", type=int, default=16, help="patients of each kind to test on")
    options.add_argument("--epochs", type=int, default=30, help="of 25 steps, on GE alone")
    options.add_argument("--fine-epochs", type=int, default=12, help="of 25 steps, of fine-tuning")
    options.add_argument("--seed", type=int, default=700_001)
    options.add_argument("--threads", type=int)
    options.add_argument("--device", default="auto")
    given = options.parse_args()
    if given.foreign:
        add_foreign()
    began = time.process_time()
    found = trial(given, FOREIGN if given.foreign else given.vendor)
    found["cpu_minutes"] = round((time.process_time() - began) / 60, 1)
    write_bytes(json.dumps(found, indent=1).encode(), given.out)
    print(given.out.read_text())


def trial(given: argparse.Namespace, vendor: str) -> dict[str, object]:
    """Train on GE, fine-tune, score both networks on both scanners' test patients."""
    size = FULL_SIZE if given.full else SMALL_SIZE
    folder = given.out.with_suffix("")

    def images(name: str, vendors: str, count: int, offset: int) -> list[LabelledImage]:
        return [_image(folder / name, given.seed, offset + n, given.sequence, vendors, size) for n in range(count)]

    ge = images("ge", SEEN, given.patients, 0)
    own = images("new", vendor, LABELLED, 10_000)
    test = [*images("ge-test", SEEN, given.test, 20_000), *images("new-test", vendor, given.test, 30_000)]
    settings = FitSettings(epochs=given.epochs, seed=0, device=given.device, threads=given.threads)
    if given.start_from:
        before = load_weights(given.start_from)
    else:
        plan = _plan(given.sequence, full=given.full)
        before = _weights(fit(ge, [], plan, settings, checkpoint=folder / "base.checkpoint"))
    gentle = replace(settings, epochs=given.fine_epochs, learning_rate=GENTLE)
    earlier = {image.image_id for image in ge}
    mixed = rehearsed([*own, *ge], lambda image: image.image_id in earlier, settings.rehearsal)
    after = _weights(fit(mixed, [], before.plan, gentle, start_from=before))
    scores = {
        name: score_images(weights, test, given.device) for name, weights in (("before", before), ("after", after))
    }
    return {
        "sequence": given.sequence,
        "started_from": before.notes.get("version", "a training on GE alone"),
        "new": vendor,
        "labelled": LABELLED,
        "test_patients": given.test,
        **{structure: summary(scores, structure) for structure in ("mass", "kidney")},
    }


def summary(scores: dict[str, list[CaseScore]], structure: str) -> dict[str, float | None]:
    """Mean Dice before and after on both scanners, the share of the gap that was closed, and what GE lost."""
    mean = {
        f"{group} {name}": _mean(found, structure, ge=group == SEEN)
        for name, found in scores.items()
        for group in (SEEN, "new")
    }
    gap = mean[f"{SEEN} before"] - mean["new before"]
    gained = mean["new after"] - mean["new before"]
    return {
        **{name: round(value, 4) for name, value in mean.items()},
        "gap": round(gap, 4),
        "recovered": round(gained / gap, 3) if gap > 0 else None,
        "lost on GE": round(mean[f"{SEEN} before"] - mean[f"{SEEN} after"], 4),
    }


def _weights(result: FitResult) -> LoadedWeights:
    return LoadedWeights(plan=result.plan, state=dict(result.state))


def _mean(scores: Sequence[CaseScore], structure: str, *, ge: bool) -> float:
    values = [dice for one in scores if (one.vendor == SEEN) == ge and (dice := one.dice.get(structure)) is not None]
    return fmean(values)


def _image(folder: Path, seed: int, patient: int, code: str, vendor: str, size: Size) -> LabelledImage:
    image_id = f"P{patient:05d}_{code}"
    image, label = folder / f"{image_id}.nii.gz", folder / f"{image_id}_label.nii.gz"
    if not label.is_file():
        case = make_case(seed, patient, code, vendors=[vendor], size=size)
        write_volume(case.image, image)
        write_volume(case.label, label)
    return LabelledImage(
        image_id=image_id,
        patient_id=f"P{patient:05d}",
        image=image,
        label=label,
        drawn=frozenset(STRUCTURE_NAMES),
        vendor=vendor,
        scanner_model=vendor,
    )


def _plan(code: str, *, full: bool) -> Plan:
    """The plan of the app, or a small one for small images."""
    if full:
        return Plan(code=code, spacing_mm=SEQUENCES[code].spacing_mm)
    return Plan(
        code=code,
        spacing_mm=(4.5, 4.5, 7.0),
        patch=(64, 48, 24),
        window=(96, 72, 40),
        stem=(1, 1, 1),
        channels=(8, 16, 32),
    )


if __name__ == "__main__":
    main()
