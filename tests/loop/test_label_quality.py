"""Corrupted labels are noticed, untouched ones are left in peace, and every label is accounted for."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.label_quality import CORRUPTIONS, phantom_cases
from lib.domain.errors import BadRequestError, GeometryError
from lib.domain.structures import CYST, KIDNEY, MASS
from lib.loop.label_quality import DEFAULT_RULE, LabelRule, LabelToCheck, suspicions
from tests.conftest import SPACING_MM, two_kidneys


@pytest.fixture(scope="module")
def phantoms() -> list[LabelToCheck]:
    """Phantom labels with two wavering predictions each."""
    return list(phantom_cases(3))


def kinds(case: LabelToCheck, rule: LabelRule = DEFAULT_RULE) -> set[str]:
    return {one.kind for one in suspicions(case, rule)}


@pytest.mark.slow
def test_untouched_phantom_labels_are_not_suspected(phantoms: list[LabelToCheck]) -> None:
    assert [kinds(case) for case in phantoms] == [set()] * len(phantoms)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("corruption", "kind"),
    [
        ("shifted by 10 mm", "shifted"),
        ("shifted by 20 mm", "shifted"),
        ("swapped", "swapped"),
        ("spilled", "spill"),
        ("off the kidney", "off-kidney"),
        ("turned round", "shifted"),
    ],
)
def test_a_corrupted_phantom_label_is_suspected_of_it(phantoms: list[LabelToCheck], corruption: str, kind: str) -> None:
    found = [kinds(replace(case, label=CORRUPTIONS[corruption](case))) for case in phantoms]
    assert all(found), found
    assert sum(kind in one for one in found) >= len(found) - 1, found


# ---- one small label, drawn and predicted perfectly


def drawn() -> LabelToCheck:
    label = np.asarray(two_kidneys()[1].data, dtype=np.uint8)
    return LabelToCheck(image_id="P1_CP", label=label, proposal=label, prediction=label, spacing_mm=SPACING_MM)


def recoloured(label: np.ndarray, value: int, to: int) -> np.ndarray:
    return np.where(label == value, to, label).astype(np.uint8)


def without_mass(case: LabelToCheck) -> np.ndarray:
    return recoloured(case.label, MASS, KIDNEY)


@pytest.mark.parametrize(
    "blind", [lambda case: {"proposal": without_mass(case)}, lambda case: {"prediction": without_mass(case)}]
)
def test_an_empty_label_is_suspicious_only_if_both_predictions_see_the_mass(
    blind: Callable[[LabelToCheck], dict[str, np.ndarray]],
) -> None:
    case = drawn()
    empty = replace(case, label=without_mass(case))
    assert kinds(empty) == {"empty"}
    assert kinds(replace(empty, **blind(case))) == set()


def test_a_mass_that_both_predictions_miss_is_what_readers_are_for() -> None:
    case = drawn()
    assert kinds(replace(case, proposal=without_mass(case), prediction=without_mass(case))) == set()


def test_a_label_that_did_not_draw_masses_is_not_empty() -> None:
    case = drawn()
    assert kinds(replace(case, label=without_mass(case), drawn=frozenset({"kidney"}))) == set()


def test_a_label_of_masses_alone_is_judged_by_the_masses() -> None:
    case = drawn()
    alone = replace(case, label=recoloured(case.label, KIDNEY, 0), drawn=frozenset({"mass"}))
    assert kinds(alone) == set()
    moved = np.roll(alone.label, 4, axis=0)
    assert "shifted" in kinds(replace(alone, label=moved))


def test_a_mass_far_from_both_agreeing_predictions_is_suspicious() -> None:
    case = drawn()
    mirrored = recoloured(case.label, MASS, KIDNEY)
    mirrored[(case.label == MASS)[::-1]] = MASS
    moved = replace(case, label=mirrored)
    assert kinds(moved) == {"far from both"}
    assert "1 of their masses are not drawn" in suspicions(moved)[0].reason
    assert kinds(replace(moved, prediction=without_mass(case))) == set()


def test_the_label_of_another_image_is_told_by_its_kidneys() -> None:
    case = drawn()
    assert "other image" in kinds(replace(case, label=np.roll(case.label, case.label.shape[1] // 3, axis=1)))


def test_a_cyst_is_no_reason_to_suspect_anything() -> None:
    case = drawn()
    cysts = recoloured(case.label, MASS, CYST)
    assert kinds(replace(case, label=cysts, proposal=cysts, prediction=cysts)) == set()


def test_where_nothing_was_predicted_nothing_is_suspicious() -> None:
    case = drawn()
    nothing = np.zeros_like(case.label)
    assert kinds(replace(case, proposal=nothing, prediction=nothing)) == set()
    assert kinds(replace(case, label=nothing, proposal=nothing, prediction=nothing)) == set()


def test_arrays_of_different_shapes_are_refused() -> None:
    case = drawn()
    with pytest.raises(GeometryError, match="expected one shape of three axes"):
        suspicions(replace(case, proposal=case.proposal[1:]))
    flat = case.label[0]
    with pytest.raises(GeometryError, match="expected one shape of three axes"):
        suspicions(replace(case, label=flat, proposal=flat, prediction=flat))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": "drop"}, "expected 'hold' or 'down-weight'"),
        ({"weight": 1.5}, "labels_weight is 1.5; expected 0 to 1"),
    ],
)
def test_a_rule_that_cannot_be_applied_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        replace(DEFAULT_RULE, **change)
