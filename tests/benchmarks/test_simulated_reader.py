"""The cost model and the statistics of the simulated learning, on data made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.learning_report import summary
from benchmarks.simulated_reader import LOOK_S, minutes, reader_of, surface_voxels_to_change
from lib.domain.structures import KIDNEY, MASS


def organ(shift: int = 0, mass: bool = True) -> np.ndarray:
    data = np.zeros((40, 30, 20), np.uint8)
    data[8 + shift : 28 + shift, 6:24, 4:16] = KIDNEY
    if mass:
        data[20 + shift : 28 + shift, 10:18, 6:12] = MASS
    return data


def test_a_right_proposal_costs_a_look_and_a_missed_mass_its_surface() -> None:
    assert minutes(organ(), organ()) == pytest.approx(LOOK_S / 60)
    missed = surface_voxels_to_change(organ(mass=False), organ())
    assert 0 < missed < surface_voxels_to_change(np.zeros_like(organ()), organ())


def test_a_surface_within_one_voxel_is_left_as_it_is() -> None:
    assert surface_voxels_to_change(organ(shift=1), organ()) == 0
    assert surface_voxels_to_change(organ(shift=3), organ()) > 0


def test_a_reader_of_fine_voxels_draws_as_long_a_contour_in_as_much_time_and_is_as_exact() -> None:
    fine, whole = np.kron(organ(), np.ones((2, 2, 2), np.uint8)), organ()
    twice = minutes(fine, reader=reader_of((2.0, 2.0, 3.0))), minutes(whole, reader=reader_of((4.0, 4.0, 6.0)))
    assert twice[0] / twice[1] == pytest.approx(2, rel=0.1)  # as many contours again, in slices half as thick
    moved = np.roll(fine, 1, axis=0)
    assert minutes(fine, moved, reader_of((2.9, 2.9, 3.0))) == pytest.approx(LOOK_S / 60)
    assert minutes(fine, moved, reader_of((3.1, 3.1, 3.0))) > LOOK_S / 60


def test_only_wanted_structures_cost() -> None:
    assert minutes(organ(), organ(mass=False), values=[KIDNEY]) < minutes(organ(), organ(mass=False))
    assert minutes(organ(mass=False), organ(mass=False), values=[MASS]) == LOOK_S / 60


def test_a_hopeless_proposal_costs_no_more_than_none() -> None:
    noise = np.random.default_rng(0).integers(0, 4, organ().shape).astype(np.uint8)
    assert minutes(organ(), noise) == minutes(organ())


def rows(gain: float) -> list[dict]:
    """Twelve seeds; ``better`` is above random by the same everywhere, ``same`` by nothing on average."""
    rng, found = np.random.default_rng(0), []
    for seed in range(12):
        for patients in (3, 6):
            level = rng.normal(0.2 + 0.03 * patients, 0.05, 12)
            for name, shift in (("random", 0.0), ("better", gain), ("same", rng.normal(0, 0.02, 12))):
                scores = {
                    f"P{number}": {"dice": float(value), "found": 1.0} for number, value in enumerate(level + shift)
                }
                row = {"seed": seed, "strategy": name, "draw": 0, "patients": patients, "minutes": 10.0 * patients}
                found.append({**row, "scores": scores})
        whole = {f"P{number}": {"dice": 0.5, "found": 1.0} for number in range(12)}
        found.append({"seed": seed, "strategy": "all", "draw": 0, "patients": 20, "minutes": 400.0, "scores": whole})
    return found


def test_the_summary_ranks_by_the_curve_and_tells_a_gain_from_chance() -> None:
    lines = [line for line in summary(rows(0.05)).splitlines() if line.startswith("| ")]
    assert lines[1].startswith("| better")
    better = next(line for line in lines if line.startswith("| better"))
    same = next(line for line in lines if line.startswith("| same"))
    assert "+0.050 (+0.050 to +0.050) | 0.000 | 0.001" in better
    assert float(same.split(" | ")[5]) > 0.01


def test_few_seeds_prove_nothing_however_many_patients_they_hold() -> None:
    few = [row for row in rows(0.05) if row["seed"] < 4]
    better = next(line for line in summary(few).splitlines() if line.startswith("| better"))
    assert float(better.split(" | ")[4]) > 0.05
