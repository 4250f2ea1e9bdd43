from __future__ import annotations

import numpy as np
import pytest

from lib.domain.structures import STRUCTURE_NAMES
from lib.scoring.uncertainty import uncertainty

SPACING_MM = (2.0, 2.0, 2.0)


def chances(**parts: tuple[slice, float]) -> np.ndarray:
    """Probabilities on 40 x 20 x 20 voxels: background, but where a structure has one along the first axis."""
    found = np.zeros((1 + len(STRUCTURE_NAMES), 40, 20, 20))
    for name, (where, chance) in parts.items():
        found[1 + STRUCTURE_NAMES.index(name), where] = chance
    found[0] = 1 - found[1:].sum(0)
    return found


def doubt(**parts: tuple[slice, float]) -> dict[str, float]:
    return uncertainty(chances(**parts), STRUCTURE_NAMES, SPACING_MM)


def test_a_network_that_is_certain_is_in_no_doubt_whether_there_is_a_mass_or_not() -> None:
    assert doubt() == {"mass": 0.0, "kidney": 0.0}
    sure = doubt(kidney=(slice(0, 20), 1.0), mass=(slice(30, 35), 1.0))
    assert sure == pytest.approx({"mass": 0.0, "kidney": 0.0}, abs=1e-6)


def test_a_small_doubtful_mass_is_not_outvoted_by_a_large_certain_kidney() -> None:
    found = doubt(kidney=(slice(0, 30), 0.999), mass=(slice(34, 36), 0.5))
    assert found["mass"] > 0.8 > 0.1 > found["kidney"]


def test_half_and_half_is_more_doubtful_than_nearly_certain() -> None:
    half, nearly = (doubt(mass=(slice(0, 10), chance))["mass"] for chance in (0.5, 0.95))
    assert half > 2 * nearly > 0


def test_what_is_implausible_everywhere_is_no_doubt() -> None:
    assert doubt(mass=(slice(0, 40), 0.05))["mass"] == 0


def test_a_doubt_about_a_single_voxel_counts_little() -> None:
    found = chances()
    found[2, 3, 3, 3] = found[0, 3, 3, 3] = 0.5
    assert uncertainty(found, STRUCTURE_NAMES, SPACING_MM)["mass"] < 0.05


def test_classes_that_do_not_match_the_structures_are_refused() -> None:
    with pytest.raises(ValueError, match="probabilities of 4 classes; expected background and 2 structures"):
        uncertainty(chances(), ("kidney", "mass"), SPACING_MM)


def test_a_network_without_a_kidney_class_is_judged_by_its_masses_alone() -> None:
    assert set(uncertainty(chances()[:2], ("mass",), SPACING_MM)) == {"mass"}
