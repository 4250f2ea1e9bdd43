"""New images beside the training images: what differs is named, what cannot be compared is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lib.domain.errors import BadRequestError
from lib.onboarding.distribution import Looked, describe, differences, read_distribution, write_distribution


def looked(number: int, **measures: float) -> Looked:
    rng = np.random.default_rng(number)
    return Looked(
        image_id=f"P{number}_CP",
        patient_id=f"P{number}",
        sequence="CP",
        scanner="GE MR750",
        measures={"slice_mm": 3 + 0.5 * rng.uniform(), "field_t": 3.0, **measures},
        features=tuple(rng.normal(size=12)),
    )


@pytest.fixture(scope="module")
def training() -> list[Looked]:
    return [looked(number) for number in range(40)]


def test_only_what_differs_is_flagged(training: list[Looked]) -> None:
    known = describe(training, made_from="some", finder="f").sequences["CP"]
    new = [looked(100 + number, slice_mm=7.0, te_ms=2.0) for number in range(5)]
    found = {row.measure.name: row for row in differences(new, known)}
    assert (found["slice_mm"].verdict, found["slice_mm"].outside) == ("outside", 5)
    assert found["field_t"].verdict == "as trained"
    assert "te_ms" not in found


def test_a_field_strength_that_is_rounded_otherwise_is_the_same(training: list[Looked]) -> None:
    known = describe(training, made_from="some", finder="f").sequences["CP"]
    new = [looked(100 + number, field_t=2.98) for number in range(5)]
    assert next(row.verdict for row in differences(new, known) if row.measure.name == "field_t") == "as trained"


def test_a_few_images_outside_are_at_the_edge(training: list[Looked]) -> None:
    known = describe(training, made_from="some", finder="f").sequences["CP"]
    new = [looked(100 + number, slice_mm=7.0 if number < 3 else 3.25) for number in range(8)]
    assert next(iter(differences(new, known))).verdict == "at the edge"


def test_the_file_says_what_was_written(training: list[Looked], tmp_path: Path) -> None:
    made = describe(training, made_from="some phantoms", finder="f-1")
    write_distribution(made, tmp_path / "d.json")
    assert read_distribution(tmp_path / "d.json") == made
    assert "P1_CP" not in (tmp_path / "d.json").read_text()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', '{"format": 1, "made_from": "", "finder": ""}'])
def test_another_file_is_refused_with_what_to_do(text: str, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(BadRequestError, match=r"training distribution"):
        read_distribution(tmp_path / "d.json")
