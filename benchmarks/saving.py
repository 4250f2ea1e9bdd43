"""What proposals, propagation and clicks save a simulated reader, in minutes, against drawing from nothing.

    python main.py phantom COHORT --patients 30 --seed 900001
    python main.py predict COHORT --out PROPOSALS
    python -m benchmarks.saving COHORT --proposals PROPOSALS --json rows.json
    python -m benchmarks.saving --summary rows.json

The reader labels every sequence of a patient who has a mass, one after the other, the first one in turn. Minutes are those
of ``simulated_reader`` (at the voxels of the image), once for kidney, mass and cyst, once for masses alone. Ways:

* *nothing*: everything is drawn;
* *network*: the network's proposal is corrected;
* *offered*: what the server gives is corrected: from the second sequence on the first one's label, carried over, where it
  promises more than the network's proposal;
* *... and clicks*: before that, the reader clicks into the largest mistake, up to three times, and stops after a click
  that did not pay. A click costs three seconds, its answer included, whether it paid or not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clicks import next_click
from benchmarks.simulated_reader import minutes, reader_of
from lib.configs.settings import Settings
from lib.domain.clicks import Click
from lib.domain.cohort import read_cohort
from lib.domain.errors import RenalError
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import STRUCTURES
from lib.imaging.volume import Volume, read_label, read_volume
from lib.infers.carried import EXPECTED, promises_more
from lib.loop.propagate import propagate
from lib.nets.networks import load_weights
from lib.nets.refine import ClickRefiner
from lib.registry.models import CLICKS

CLICK_S, MOST_CLICKS = 3.0, 3
WANTED = {"everything": tuple(STRUCTURES), "masses alone": ("mass",)}
CLICKED = {"everything": ("kidney", "mass"), "masses alone": ("mass",)}  # the click network knows no cysts
WAYS = ("nothing", "network", "network and clicks", "offered", "offered and clicks")
Labels = NDArray[np.uint8]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", type=Path, nargs="?")
    options.add_argument("--proposals", type=Path, help="folder that the command predict wrote for the cohort")
    options.add_argument("--json", type=Path, help="write every row here, after each")
    options.add_argument("--summary", type=Path, nargs="+", help="print the figures of rows that were written")
    given = options.parse_args()
    if given.summary:
        print(table([row for path in given.summary for row in json.loads(path.read_text())]))
        return
    if not (given.cohort and given.proposals):
        options.error("expected a cohort and its proposals, or --summary")
    refine = ClickRefiner(load_weights(Settings.from_conf({}).models().champion(CLICKS)), "cpu")
    rows = []
    for row in measured(given.cohort, given.proposals, refine):
        rows.append(row)
        if given.json:
            given.json.write_text(json.dumps(rows, indent=1))
    print(table(rows))


def measured(cohort: Path, proposals: Path, refine: ClickRefiner) -> Iterator[dict[str, Any]]:
    """One row for each image of a patient with a mass whose proposal is at hand."""
    told = json.loads((proposals / "predictions.json").read_text())["images"]
    with_mass = dict.fromkeys(row.patient_id for row in read_cohort(cohort) if int(row.clinical["mass_count"]))
    for number, patient in enumerate(with_mass):
        codes = list(SEQUENCES)
        codes = [*codes[number % len(codes) :], *codes[: number % len(codes)]]
        images = [name for code in codes if (name := f"{patient}_{code}") in told]
        if not images:
            continue
        source = _read(cohort, images[0])
        for image_id in images:
            image, truth = _read(cohort, image_id)
            network = read_label(proposals / f"{image_id}.nii.gz")
            carried = None if image_id == images[0] else better(*source, image, network, told[image_id].get(EXPECTED))
            own, offered = (np.asarray(label.data, np.uint8) for label in (network, carried or network))
            spent = {name: costs(image, truth, own, offered, name, refine) for name in WANTED}
            yield {"image": image_id, "first": image_id == images[0], "carried": carried is not None, "minutes": spent}


def _read(cohort: Path, image_id: str) -> tuple[Volume, Volume]:
    return read_volume(cohort / f"{image_id}.nii.gz"), read_label(cohort / "labels" / "final" / f"{image_id}.nii.gz")


def better(image: Volume, label: Volume, target: Volume, network: Volume, expected: object) -> Volume | None:
    """The label carried over, as the server decides; None where the network's proposal is given."""
    try:
        found = propagate(label, image, target, proposal=network)
    except RenalError:
        return None
    return found.label if found.label and promises_more(found.expected, expected) else None


def costs(
    image: Volume, truth: Volume, network: Labels, offered: Labels, wanted: str, refine: ClickRefiner
) -> dict[str, float]:
    """Minutes by way."""
    reader, values = reader_of(truth.spacing_mm), [STRUCTURES[name].value for name in WANTED[wanted]]

    def spent(label: Labels | None) -> float:
        return minutes(np.asarray(truth.data, np.uint8), label, reader, values)

    def clicked(label: Labels) -> float:
        ready, made, best = refine.ready(image), list[Click](), spent(label)
        for paid in range(1, MOST_CLICKS + 1):
            more = next_click(label, truth, CLICKED[wanted])
            if not more:
                break
            made += more
            label = refine(ready, label, made)
            after = spent(label) + paid * CLICK_S / 60
            if after >= best:
                return best + CLICK_S / 60
            best = after
        return best

    same = offered is network
    found = {"nothing": spent(None), "network": spent(network), "network and clicks": clicked(network)}
    found["offered"] = found["network"] if same else spent(offered)
    found["offered and clicks"] = found["network and clicks"] if same else clicked(offered)
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Minutes by way: median of an image, mean of a patient's, and their share of drawing from nothing."""
    carried = sum(row["carried"] for row in rows)
    later = sum(not row["first"] for row in rows)
    lines = [f"{len(rows)} images; {carried} of the {later} later ones are offered a carried label.", ""]
    lines += ["| wanted | from | median of an image | mean of an image | of nothing |", "|---|---|---|---|---|"]
    for wanted in WANTED:
        whole = fmean(row["minutes"][wanted]["nothing"] for row in rows)
        for way in WAYS:
            spent = [row["minutes"][wanted][way] for row in rows]
            lines.append(
                f"| {wanted} | {way} | {median(spent):.1f} | {fmean(spent):.1f} | {fmean(spent) / whole:.0%} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
