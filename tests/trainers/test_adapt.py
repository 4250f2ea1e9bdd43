"""Fine-tuning to a new scanner: on record with both models' scores, and never live without being asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.domain.records import LabelledImage
from lib.imaging.volume import write_volume
from lib.loop.splits import side_of
from lib.nets.networks import Plan, build_network, load_weights, save_weights
from lib.nets.trainee import FitSettings
from lib.onboarding.distribution import read_distribution
from lib.onboarding.verdict import by_scanner
from lib.registry.audit import AuditLog
from lib.registry.changes import Registry
from lib.registry.models import ModelFolder
from lib.registry.promotion import GateRule
from lib.trainers.adapt import adapt
from lib.trainers.described import distribution_file
from tests.conftest import two_kidneys

PLAN = Plan(code="CP", spacing_mm=(3.0, 3.0, 6.0), patch=(32, 32, 16), window=(48, 40, 16), channels=(4, 8, 8))
ONE_STEP = FitSettings(epochs=1, steps_per_epoch=1, batch_size=1, device="cpu", learning_rate=1e-4)
NEW = "Siemens Aera"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    torch.manual_seed(0)
    save_weights(tmp_path / "shipped" / "CP.safetensors", build_network(PLAN).state_dict(), PLAN, {"version": "CP-0"})
    models = ModelFolder(shipped=tmp_path / "shipped", live=tmp_path / "live")
    return Registry(models=models, audit=AuditLog(tmp_path / "live"))


def case(tmp_path: Path, patient: str, scanner: str, seed: int) -> LabelledImage:
    image, label = two_kidneys(seed)
    write_volume(image, tmp_path / f"{patient}.nii.gz")
    write_volume(label, tmp_path / f"{patient}_label.nii.gz")
    vendor, _, model = scanner.partition(" ")
    return LabelledImage(
        image_id=f"{patient}_CP",
        patient_id=patient,
        image=tmp_path / f"{patient}.nii.gz",
        label=tmp_path / f"{patient}_label.nii.gz",
        drawn=frozenset({"kidney", "mass"}),
        vendor=vendor,
        scanner_model=model,
    )


@pytest.fixture
def cases(tmp_path: Path) -> list[LabelledImage]:
    """One patient of each scanner on each side of the split."""
    found = []
    for scanner in (NEW, "GE MR750"):
        names = [f"{scanner[0]}{number}" for number in range(60)]
        for side in ("train", "validation", "holdout"):
            patient = next(name for name in names if side_of(name) == side)
            found.append(case(tmp_path, patient, scanner, len(found)))
    return found


def test_a_fine_tuned_version_is_on_record_and_does_not_serve_unasked(registry, cases) -> None:
    new = {one.image_id for one in cases if one.scanner == NEW}
    gate = GateRule(min_patients=2, margin=1.0, stratum_margin=1.0, kidney_margin=1.0)
    done = adapt("CP", cases, new, registry, ONE_STEP, gate=gate)
    assert (done.taught, done.rehearsed) == (1, 1)
    assert [score.image_id for score in done.before] == [score.image_id for score in done.after]
    rows = by_scanner(done.before, done.after, {NEW})
    assert [(row.scanner, row.new) for row in rows] == [(NEW, True), ("GE MR750", False)]
    assert registry.models.record(done.version).verdict == done.decision.verdict
    assert registry.models.find("CP") == registry.models.shipped_file("CP")
    weights = load_weights(registry.models.weights("CP", done.version))
    assert NEW in weights.notes["scanners"]
    beside = distribution_file(registry.models, "CP", done.version)
    assert beside not in beside.parent.glob("*.json")  # else it would be taken for a version's record
    kept = read_distribution(beside)
    assert kept.sequences["CP"].scanners == {"GE MR750": 1, NEW: 1}
    assert np.isclose(kept.sequences["CP"].measures["slice_mm"][0], 6.0)


def test_the_new_scanner_is_a_stratum_of_its_own_in_the_gate() -> None:
    from lib.domain.records import CaseScore
    from lib.registry.promotion import decide

    def scores(dice: float, new: float) -> list[CaseScore]:
        found = []
        for number in range(30):
            scanner = NEW if number < 12 else "Siemens Skyra"
            found.append(
                CaseScore(
                    image_id=f"P{number}",
                    patient_id=f"P{number}",
                    dice={"mass": (new if scanner == NEW else dice) + 0.001 * number},
                    found=True,
                    false_positives=0,
                    vendor="Siemens",
                    scanner=scanner,
                    size_mm=30.0,
                    masses_found=(True,),
                )
            )
        return found

    before, worse = scores(0.5, 0.5), scores(0.9, 0.3)
    together, apart = decide(before, worse), decide(before, worse, new_scanners=[NEW])
    assert together.verdict == "promote"
    assert apart.verdict == "refuse"
    assert f"{NEW} (new)" in apart.reason


def test_a_refusal_names_the_side_that_has_no_label(registry, cases) -> None:
    from lib.domain.errors import NotEnoughLabelsError

    training = [one for one in cases if side_of(one.patient_id) == "train"]
    with pytest.raises(NotEnoughLabelsError, match="validation"):
        adapt("CP", training, {training[0].image_id}, registry, replace(ONE_STEP, epochs=1))
