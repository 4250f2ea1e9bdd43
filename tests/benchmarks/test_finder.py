"""The benchmark of the kidney finder, on one phantom."""

from pathlib import Path

import pytest

from benchmarks.finder import Found, Search, table
from benchmarks.trust import phantom_images
from lib.configs.settings import Settings
from lib.domain.sequences import SEQUENCES
from lib.phantom.cohort import generate_cohort
from lib.registry.models import FINDER

pytestmark = pytest.mark.slow


def test_the_boxes_hold_the_kidneys_of_a_phantom_and_not_everything(tmp_path: Path) -> None:
    generate_cohort(tmp_path / "cohort", patients=1, seed=5, sequences=["NP"])
    finder = Settings.from_conf({}).models().shipped_file(FINDER)
    found = Search(finder)(phantom_images(tmp_path / "cohort", "NP")[0], SEQUENCES["NP"].spacing_mm)
    assert found.dice > 0.7
    assert found.kidney == pytest.approx(1, abs=0.01)
    assert 0 < found.searched < 0.6


def test_what_is_cut_off_by_a_box_is_told() -> None:
    whole = Found(dice=0.9, kidney=1.0, mass=None, boxes=2, searched=0.3)
    cut = Found(dice=0.5, kidney=1.0, mass=0.6, boxes=1, searched=0.1)
    assert "| all | 2 | 0.70 | 1 | 0 of 1 | 2 of 2 | 1.5 | 20% |" in table({"NP": [whole, cut]})
