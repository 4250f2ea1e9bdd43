"""How far proposals can be trusted: calibrates the weights that ship, and measures what the flag finds.

    python -m benchmarks.trust fit COHORT --kept DIR                      # writes into model/shipped/*.safetensors
    python -m benchmarks.trust table COHORT --test TEST --kept DIR --out trust.json --plot trust.png
    python -m benchmarks.trust cost

``fit`` uses the validation patients of COHORT. ``table`` fits on their GE images alone, threshold included, and measures
on the images of all other vendors: of TEST, and of COHORT's holdout patients (``--sides``). What the networks say of an
image is kept in DIR, so that both commands look once, and an interrupted one goes on. Dice: of all mass voxels, on the
working grid.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.left_out import SEEN
from benchmarks.trust_figures import Looked, calibration, draw, flagging, judged, masses_of, per_mass
from lib.configs.settings import Settings
from lib.domain.cohort import read_cohort
from lib.domain.records import LabelledImage
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import STRUCTURE_NAMES
from lib.imaging.calibration import Scaling
from lib.imaging.doubt import weigh
from lib.imaging.geometry import to_canonical
from lib.imaging.volume import write_bytes
from lib.loop.retrain import images_on
from lib.loop.trust import TRUST, trust_note
from lib.loop.trust_fit import fit_trust
from lib.nets.assess import Sample, fit_scalings, take_sample
from lib.nets.cases import read_cases
from lib.nets.find import Finder, load_finder
from lib.nets.grids import to_working
from lib.nets.networks import LoadedWeights, load_weights, save_weights
from lib.nets.predict import SMALLEST_MASS_MM3, Predictor, drop_specks, mass_voxels, restated, searched
from lib.nets.runtime import Runner, load_runner
from lib.nets.scalings import CALIBRATION, scalings_note
from lib.nets.windows import class_probabilities
from lib.phantom.cohort import Size, make_case
from lib.registry.models import FINDER
from lib.registry.versions import file_sha256

SIDES = ("validation", "holdout", "test")
_KEPT = ("probability", "winner", "truth", "number", "voxel_ml", "kidneys")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = options.add_subparsers(required=True)
    for name, act in COMMANDS.items():
        command = commands.add_parser(name, help=act.__doc__)
        command.set_defaults(act=act)
        command.add_argument("cohort", type=Path, nargs="?" if name == "cost" else None)
        command.add_argument("--kept", type=Path, required=name != "cost", help="folder for what the networks say")
        command.add_argument("--device", default="auto")
        command.add_argument("--test", type=Path, help="a cohort that nothing was chosen on")
        command.add_argument("--most", type=int, default=10_000, help="images per sequence and side")
        command.add_argument("--only-kept", action="store_true", help="leave out images that were not looked at yet")
        command.add_argument(
            "--sides", nargs="+", default=SIDES[1:], choices=SIDES, help="to look at, or to measure on"
        )
        command.add_argument("--out", type=Path, default=Path("trust.json"))
        command.add_argument("--plot", type=Path, help="reliability and recall, PNG")
    given = options.parse_args()
    given.act(given)


def look_command(given: argparse.Namespace) -> None:
    """Only look, in a random order: several processes can share the work."""
    for code in random.sample(list(SEQUENCES), len(SEQUENCES)):
        sides = _sides(given, code)
        for side in given.sides:
            for _ in look(random.sample(sides[side], len(sides[side])), code, given):
                pass


def fit_command(given: argparse.Namespace) -> None:
    """Calibrate each network that ships, fit one trust model over all, and write both into the weight files."""
    looked = {code: list(look(_sides(given, code)["validation"], code, given)) for code in SEQUENCES}
    scalings = {code: fit_scalings([one.sample for one in rows]) for code, rows in looked.items()}
    every = [one for rows in looked.values() for one in rows]
    model = fit_trust(judged(every, scalings), masses_of(every, scalings))
    for code in SEQUENCES:
        path = Settings.from_conf({}).models().shipped_file(code)
        weights = load_weights(path)
        notes = {CALIBRATION: scalings_note(scalings[code]), TRUST: trust_note(model)}
        save_weights(path, weights.state, weights.plan, {**weights.notes, **notes})
    counts = {code: len(rows) for code, rows in looked.items()}
    print(
        json.dumps({"images": counts, "scalings": {c: scalings_note(s) for c, s in scalings.items()}, **asdict(model)})
    )


def table_command(given: argparse.Namespace) -> None:
    """Fit on GE, measure on the others."""
    fitted: list[Looked] = []
    left_out: list[Looked] = []
    for code in SEQUENCES:
        sides = _sides(given, code)
        fitted += [one for one in look(sides["validation"], code, given) if one.image.vendor == SEEN]
        others = [image for side in given.sides for image in sides[side] if image.vendor != SEEN]
        left_out += look(others, code, given)
    scalings = {code: fit_scalings([one.sample for one in fitted if one.code == code]) for code in SEQUENCES}
    model = fit_trust(judged(fitted, scalings), masses_of(fitted, scalings))
    found = {
        "fitted_on": len(fitted),
        "left_out": len(left_out),
        "calibration": calibration(left_out, scalings),
        "per_mass": per_mass(left_out, scalings, model),
        "all images": flagging(left_out, scalings, model),
        "images with a mass": flagging([one for one in left_out if one.holds_mass], scalings, model),
        "model": asdict(model),
    }
    write_bytes(json.dumps(found, indent=1).encode(), given.out)
    print(json.dumps(found, indent=1))
    if given.plot:
        draw(left_out, scalings, model, given.plot)


def cost_command(given: argparse.Namespace) -> None:
    """Process seconds of one proposal of 311 x 242 x 60 voxels, and of what tells how far to trust it."""
    models = Settings.from_conf({}).models()
    weights, find = load_weights(models.shipped_file("NP")), load_finder(models.find(FINDER), given.device)
    image = make_case(5, 0, "NP", vendors=[SEEN], size=Size(matrix=(311, 242, 60))).image
    predict, run = Predictor(weights, given.device, find=find), load_runner(weights, given.device)
    predict(image)
    whole = _process_s(lambda: predict(image), 3)
    working = to_working(to_canonical(image), weights.plan.spacing_mm)
    boxes = searched(find(working.image, weights.plan.spacing_mm)) if find else []
    stated = class_probabilities(working.image, run, weights.plan, boxes=boxes)
    kept = drop_specks(stated, weights.plan, SMALLEST_MASS_MM3)
    found = predict(image)
    label = np.asarray(found.label.data, np.uint8)
    scalings = dict.fromkeys(weights.plan.structures, Scaling(slope=0.5))
    parts = {
        "evidence": _process_s(lambda: weigh(mass_voxels(stated, kept, weights.plan), scalings["mass"]), 5),
        "restate": _process_s(lambda: restated(found.certainty.copy(), label, scalings), 5),
    }
    share = sum(parts.values()) / (whole - sum(parts.values()))
    print(json.dumps({"whole": whole, **parts, "added": share}, indent=1))


def _process_s(action: Callable[[], object], repeats: int) -> float:
    spent = []
    for _ in range(repeats):
        before = time.process_time()
        action()
        spent.append(time.process_time() - before)
    return median(spent)


COMMANDS = {"fit": fit_command, "table": table_command, "look": look_command, "cost": cost_command}


def phantom_images(cohort: Path, code: str) -> list[LabelledImage]:
    """Images of one sequence with the labels that they were made with; the folder is only read."""
    return [
        LabelledImage(
            image_id=record.image_id,
            patient_id=record.patient_id,
            image=cohort / f"{record.image_id}.nii.gz",
            label=cohort / "labels" / "final" / f"{record.image_id}.nii.gz",
            drawn=frozenset(STRUCTURE_NAMES),
            vendor=record.vendor,
            scanner_model=record.scanner_model,
        )
        for record in read_cohort(cohort)
        if record.sequence == code
    ]


def _sides(given: argparse.Namespace, code: str) -> dict[str, list[LabelledImage]]:
    """Images by side; of holdout and test only those of left-out vendors."""
    images = phantom_images(given.cohort, code)
    test = phantom_images(given.test, code) if given.test else []
    return {
        "validation": images_on(images, "validation")[: given.most],
        "holdout": [one for one in images_on(images, "holdout") if one.vendor != SEEN][: given.most],
        "test": [one for one in test if one.vendor != SEEN][: given.most],
    }


def look(images: Sequence[LabelledImage], code: str, given: argparse.Namespace) -> Iterator[Looked]:
    """Let the network that ships look at images; what was kept of an earlier look is read."""
    models = Settings.from_conf({}).models()
    weights = load_weights(models.shipped_file(code))
    path = models.find(FINDER)
    finder = load_weights(path) if path else None
    made_by = _state_sha256(*filter(None, (weights, finder)))[:8]
    run, find = None, None
    for image in images:
        kept = given.kept / f"{image.image_id}-{file_sha256(image.label)[:8]}-{made_by}.npz"
        if not kept.is_file():
            if given.only_kept:
                continue
            run = run or load_runner(weights, given.device)
            find = find or (Finder(finder, given.device) if finder else None)
            _keep(_sample(image, weights, run, find), kept)
        yield Looked(image=image, code=code, sample=_read(kept, image, weights))


def _sample(image: LabelledImage, weights: LoadedWeights, run: Runner, find: Finder | None) -> Sample:
    (case,) = read_cases([image], weights.plan)
    boxes = find(case.image.float(), weights.plan.spacing_mm) if find else None
    return take_sample(case, run, weights.plan, SMALLEST_MASS_MM3, boxes)


def _keep(sample: Sample, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half.npz")
    np.savez_compressed(half, **{name: getattr(sample, name) for name in _KEPT})
    half.replace(path)


def _read(path: Path, image: LabelledImage, weights: LoadedWeights) -> Sample:
    with np.load(path) as kept:
        found = {name: kept[name] for name in _KEPT}
    kidneys, voxel_ml = int(found.pop("kidneys")), float(found.pop("voxel_ml"))
    return Sample(**found, drawn=image.drawn, structures=weights.plan.structures, kidneys=kidneys, voxel_ml=voxel_ml)


def _state_sha256(*networks: LoadedWeights) -> str:
    """Of the tensors alone: writing notes into a file changes nothing that was kept."""
    digest = hashlib.sha256()
    for weights in networks:
        for name in sorted(weights.state):
            digest.update(name.encode() + weights.state[name].numpy().tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
