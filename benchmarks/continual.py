"""The loop over many rounds, against MONAI Label's own rule (publish the best epoch of every run).

    python -m benchmarks.continual --out continual

Coarse phantoms of one sequence arrive in batches: from GE first, then from one more vendor after the other. In some rounds
the whole batch is wrong: shifted, without its masses, or with kidney and mass swapped. Three ways to go on from the same
first network, trained on the first batch: a small one from nothing, which finds no masses on a CPU's budget; or with
``--start-from`` one that exists, made used to coarser voxels (the images are less coarse then, so that it finds masses):

* *loop*: what the server does, ``SequenceTrain`` over a real store and registry: labels reviewed, the gate decides;
* *gate alone*: the same without the review of labels;
* *best epoch*: train from what serves, hold back the last fifth of the list for validation, publish the best epoch.

After every round what serves is tested on phantoms of every vendor that nobody learns from. ``continual.json`` holds
every figure, ``continual.png`` the plot, the output a table.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lib.domain.cohort import format_cohort
from lib.domain.records import CaseRecord, LabelledImage
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import KIDNEY, MASS, STRUCTURE_NAMES
from lib.imaging.volume import Volume, read_label, write_volume
from lib.loop.label_quality import LabelRule
from lib.nets.fit import fit
from lib.nets.networks import Plan, load_weights, save_weights
from lib.nets.score import score_images
from lib.nets.trainee import GENTLE, FitSettings
from lib.phantom.cohort import SMALL_SIZE, Size, make_case
from lib.registry.audit import AuditLog
from lib.registry.changes import Registry
from lib.registry.models import ModelFolder
from lib.registry.promotion import GateRule
from lib.registry.versions import version_in
from lib.store.cohort import CohortStore
from lib.store.datastore import CohortDatastore
from lib.trainers.sequence import SequenceTrain

CODE = "NP"
PLAN = Plan(code=CODE, spacing_mm=(4.5, 4.5, 6.0), patch=(48, 48, 12), channels=(8, 16, 16))
VENDORS = ("GE", "Siemens", "Philips", "Canon")
COARSER: dict[str, Any] = {"spacing_mm": (2.2, 2.2, 4.4), "patch": (64, 64, 24)}
MID_SIZE = Size(matrix=(128, 112, 40), fine_mm=(2.5, 2.5, 5.0))
SEED, TEST_SEED, SALT = 4101, 4102, "continual"
SHIFT_MM = 20.0
VALIDATED = 4  # images an epoch
UNSUSPECTING = LabelRule(
    seen_ml=math.inf,
    off_kidney_mm=math.inf,
    shift_mm=math.inf,
    other_image_dice=0,
    swap_gain=1,
    spill_ml=math.inf,
    far_dice=0,
)
ARMS = ("loop", "gate alone", "best epoch")
_COLOURS = {"loop": "#0b6e4f", "gate alone": "#5b7db1", "best epoch": "#c8553d"}


def shifted(label: Volume) -> NDArray[np.uint8]:
    """Move a label sideways."""
    return np.roll(label.data, round(SHIFT_MM / label.spacing_mm[0]), axis=0)


def emptied(label: Volume) -> NDArray[np.uint8]:
    """Forget the masses."""
    return np.where(label.data == MASS, KIDNEY, label.data)


def swapped(label: Volume) -> NDArray[np.uint8]:
    """Call the kidney mass, and the mass kidney."""
    table = np.arange(256, dtype=np.uint8)
    table[[KIDNEY, MASS]] = MASS, KIDNEY
    return np.asarray(table[label.data])


WRONG: dict[str, Callable[[Volume], NDArray[np.uint8]]] = {"shifted": shifted, "no masses": emptied, "swapped": swapped}
POISONED = {3: "shifted", 5: "swapped", 7: "no masses"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large the benchmark is: patients in the first network and in a batch, tests a vendor, steps of a run."""

    first: int
    batch: int
    tests: int
    steps: int
    rounds: int
    least: int
    learning_rate: float
    size: Size

    @property
    def settings(self) -> FitSettings:
        """Of a run."""
        return FitSettings(
            epochs=max(1, self.steps // 20),
            steps_per_epoch=20,
            learning_rate=self.learning_rate,
            threads=1,
            validation_cases=VALIDATED,
        )


def vendor_of_round(number: int) -> str:
    """GE in rounds 1 and 2, then one more vendor in every second round."""
    return VENDORS[min((number - 1) // 2, len(VENDORS) - 1)]


def written(folder: Path, seed: int, number: int, vendor: str, prefix: str, size: Size = SMALL_SIZE) -> LabelledImage:
    """Make a phantom of a vendor, unless it is there."""
    name = f"{prefix}{number:04d}"
    image, label = folder / f"{name}_{CODE}.nii.gz", folder / "truth" / f"{name}_{CODE}.nii.gz"
    if not label.is_file():
        case = make_case(seed, number, CODE, vendors=[vendor], size=size)
        write_volume(case.image, image)
        write_volume(case.label, label)
    return LabelledImage(
        image_id=f"{name}_{CODE}",
        patient_id=name,
        image=image,
        label=label,
        drawn=frozenset(STRUCTURE_NAMES),
        vendor=vendor,
    )


def batches(folder: Path, scale: Scale) -> list[list[LabelledImage]]:
    """Patients of the first network, then of every round."""
    sizes = [scale.first] + [scale.batch] * scale.rounds
    vendors = [VENDORS[0], *(vendor_of_round(number) for number in range(1, scale.rounds + 1))]
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [
        [written(folder, SEED, start + offset, vendor, "P", scale.size) for offset in range(size)]
        for start, size, vendor in zip(starts, sizes, vendors, strict=True)
    ]


def as_sent(case: LabelledImage, wrong: str, folder: Path) -> Path:
    """The label that arrives: the truth, or what became of it."""
    if not wrong:
        return case.label
    truth, path = read_label(case.label), folder / f"{case.image_id}.nii.gz"
    write_volume(Volume(data=WRONG[wrong](truth).astype(np.uint8), affine=truth.affine), path)
    return path


# ---- three ways to go on


class Loop:
    """A store, a registry and the server's own train task."""

    def __init__(
        self, out: Path, shipped: Path, arrivals: Sequence[Sequence[LabelledImage]], scale: Scale, labels: LabelRule
    ) -> None:
        (out / "cohort").mkdir(parents=True, exist_ok=True)
        records = []
        for case in (one for batch in arrivals for one in batch):
            link = out / "cohort" / case.image.name
            if not link.exists():
                link.hardlink_to(case.image)
            records.append(
                CaseRecord(image_id=case.image_id, patient_id=case.patient_id, sequence=CODE, vendor=case.vendor)
            )
        (out / "cohort" / "cohort.csv").write_text(format_cohort(records))
        self.models = ModelFolder(shipped=shipped, live=out / "live")
        audit = AuditLog(self.models.live)
        self.store = CohortStore(out / "cohort", "", audit.append)
        gate = GateRule(min_patients=scale.least, stratum_min_patients=scale.least, more_false_masses=2.0)
        registry = Registry(models=self.models, audit=audit)
        self.task = SequenceTrain(SEQUENCES[CODE], registry, scale.settings, SALT, gate, labels=labels)

    def go(self, cases: Sequence[LabelledImage], sent: Sequence[Path]) -> dict[str, Any]:
        """Take a batch of labels in, and train."""
        serves = version_in(self.models.champion(CODE), CODE)
        for case, path in zip(cases, sent, strict=True):
            self.store.save_label(case.image_id, path, info={"model_version": serves})
        stats: dict[str, Any] = self.task({}, CohortDatastore(self.store))
        decision = stats["decision"]
        return {
            "verdict": decision["verdict"],
            "reason": decision["reason"],
            "suspicious": [one["image_id"] for one in stats["suspicious_labels"]],
        }

    def serves(self) -> Path:
        """Weights that readers get."""
        return self.models.champion(CODE)


class BestEpoch:
    """MONAI Label's rule: the run's best epoch by the tail of the list always serves."""

    def __init__(self, out: Path, first: Path, scale: Scale, known: Sequence[LabelledImage]) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._out, self._serves, self._scale, self._known = out, first, scale, list(known)

    def go(self, cases: Sequence[LabelledImage], sent: Sequence[Path]) -> dict[str, Any]:
        """Learn from everything that came so far, and publish."""
        self._known += [replace(case, label=path) for case, path in zip(cases, sent, strict=True)]
        cut = len(self._known) * 4 // 5
        base = load_weights(self._serves)
        result = fit(self._known[:cut], self._known[cut:], base.plan, self._scale.settings, start_from=base)
        self._serves = self._out / f"round-{len(self._known)}.safetensors"
        save_weights(self._serves, result.state, result.plan, {"version": self._serves.stem})
        return {"verdict": "published", "reason": "the best epoch serves", "suspicious": []}

    def serves(self) -> Path:
        """Weights that readers get."""
        return self._serves


def first_network(path: Path, cases: Sequence[LabelledImage], settings: FitSettings, start_from: Path | None) -> None:
    """Train what all three start from, on GE alone."""
    cut = len(cases) * 4 // 5
    known = load_weights(start_from) if start_from else None
    base = known and replace(known, plan=replace(known.plan, **COARSER))
    plan = base.plan if base else PLAN
    result = fit(cases[:cut], cases[cut:], plan, settings, start_from=base)
    save_weights(path, result.state, result.plan, {"version": f"{CODE}-first", "scanners": json.dumps([VENDORS[0]])})


def tested(weights: Path, tests: Sequence[LabelledImage]) -> dict[str, dict[str, float]]:
    """Mean DSC per vendor and structure."""
    scores = score_images(load_weights(weights), tests)
    found: dict[str, dict[str, float]] = {}
    for vendor in VENDORS:
        of_vendor = [score for score in scores if score.vendor == vendor]
        found[vendor] = {
            name: round(fmean(value for score in of_vendor if (value := score.dice[name]) is not None), 4)
            for name in ("kidney", "mass")
        }
    return found


def run(out: Path, scale: Scale, arms: Sequence[str] = ARMS, start_from: Path | None = None) -> dict[str, Any]:
    """Go through all rounds, each way."""
    arrivals = batches(out / "phantoms", scale)
    tests = [
        written(out / "tests", TEST_SEED + place, number, vendor, vendor, scale.size)
        for place, vendor in enumerate(VENDORS)
        for number in range(scale.tests)
    ]
    first = out / "shipped" / f"{CODE}.safetensors"
    if not first.is_file():
        first_network(first, arrivals[0], replace(scale, steps=5 * scale.steps).settings, start_from)
    start = tested(first, tests)
    print("first", json.dumps(start), flush=True)
    document: dict[str, Any] = {"poisoned": POISONED, "arms": {}}
    for arm in arms:
        one: Loop | BestEpoch
        if arm == "best epoch":
            one = BestEpoch(out / "best-epoch", first, scale, arrivals[0])
        else:
            rule = LabelRule() if arm == "loop" else UNSUSPECTING
            one = Loop(out / arm.replace(" ", "-"), first.parent, arrivals, scale, rule)
            for case in arrivals[0]:
                one.store.save_label(case.image_id, case.label)
        rounds = [{"round": 0, "verdict": "", "dsc": start}]
        for number, cases in enumerate(arrivals[1:], start=1):
            began, wrong = time.process_time(), POISONED.get(number, "")
            sent = [as_sent(case, wrong, out / "sent") for case in cases]
            told, serves = one.go(cases, sent), one.serves()
            spent = round(time.process_time() - began, 1)
            row = {"round": number, "vendor": vendor_of_round(number), "wrong": wrong, **told, "process_s": spent}
            same = serves.stem == rounds[-1].get("serves", first.stem)
            dsc = rounds[-1]["dsc"] if same else tested(serves, tests)
            rounds.append({**row, "dsc": dsc, "serves": serves.stem})
            print(
                arm, json.dumps({name: value for name, value in rounds[-1].items() if name != "suspicious"}), flush=True
            )
        document["arms"][arm] = rounds
        (out / "continual.json").write_text(json.dumps(document, indent=1))
    return document


# ---- what it shows


def table(document: dict[str, Any]) -> str:
    """Markdown: mean mass DSC over the vendors after every round, and what was decided."""
    arms = document["arms"]
    lines = ["| round | labels | " + " | ".join(arms) + " | decided | suspicious |"]
    lines.append("|" + "---|" * (len(arms) + 4))
    judged = [arm for arm in arms if arm != "best epoch"]
    for number in range(len(next(iter(arms.values())))):
        rows = {arm: rounds[number] for arm, rounds in arms.items()}
        means = [f"{fmean(dsc['mass'] for dsc in row['dsc'].values()):.3f}" for row in rows.values()]
        loop = next(iter(rows.values()))
        labels = (
            f"{loop['vendor']}{', ' + loop['wrong'] if loop['wrong'] else ''}" if number else "GE, the first network"
        )
        decided = ", ".join(rows[arm]["verdict"] for arm in judged)
        lines.append(f"| {number} | {labels} | {' | '.join(means)} | {decided} | {len(loop.get('suspicious', ()))} |")
    return "\n".join(lines)


def plot(document: dict[str, Any], path: Path) -> None:
    """Mass DSC per vendor over the rounds."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = figure.subplots(1, len(VENDORS), sharey=True)
    for axis, vendor in zip(axes, VENDORS, strict=True):
        for number in document["poisoned"]:
            axis.axvspan(int(number) - 0.5, int(number) + 0.5, color="#f4d9d0", linewidth=0)
        for arm, rounds in document["arms"].items():
            heights = [row["dsc"][vendor]["mass"] for row in rounds]
            axis.plot(range(len(rounds)), heights, color=_COLOURS[arm], label=arm, linewidth=1.8)
            refused = [number for number, row in enumerate(rounds) if row["verdict"] in ("refuse", "wait")]
            axis.plot(refused, [heights[number] for number in refused], "x", color=_COLOURS[arm], markersize=5)
        axis.set(title=vendor, xlabel="round", xticks=range(0, len(next(iter(document["arms"].values()))), 2))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("mean mass DSC of what serves")
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle("shaded: the batch was wrong; x: the new model does not serve", fontsize=9)
    figure.savefig(path, dpi=110)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    options.add_argument("--rounds", type=int, default=8)
    options.add_argument("--first", type=int, default=48)
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--tests", type=int, default=10, help="test patients of each vendor")
    options.add_argument("--steps", type=int, default=120, help="of each run; five times as many for the first network")
    options.add_argument("--learning-rate", type=float, default=GENTLE)
    options.add_argument("--start-from", type=Path, help="weights of NP that the first network is made from")
    options.add_argument("--least", type=int, default=8, help="holdout patients that the gate needs")
    given = vars(options.parse_args())
    out, arms, start_from = given.pop("out"), given.pop("arms"), given.pop("start_from")
    torch.set_num_threads(1)
    began = time.process_time()
    scale = Scale(**given, size=MID_SIZE if start_from else SMALL_SIZE)
    document = run(out, scale, arms, start_from)
    print(table(document))
    plot(document, out / "continual.png")
    print(f"{time.process_time() - began:.0f} s of process time")


if __name__ == "__main__":
    main()
