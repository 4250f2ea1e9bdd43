"""A score carries what the gate groups by, and says of each mass whether it was found."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lib.domain.records import LabelledImage
from lib.nets.networks import LoadedWeights
from lib.nets.score import score_images


def test_a_score_knows_patient_scanner_size_and_every_mass(
    tiny_weights: LoadedWeights, make_cases: Callable[..., list[LabelledImage]]
) -> None:
    case = replace(make_cases(1)[0], vendor="UIH", scanner_model="uMR 790")
    found = score_images(tiny_weights, [case], "cpu")[0]
    assert (found.image_id, found.patient_id, found.vendor, found.scanner) == ("P0_CP", "P0", "UIH", "UIH uMR 790")
    assert found.size_mm == pytest.approx(16, abs=2)
    assert found.masses_found == (found.found,)
