"""Signal equations by hand, and what radiologists see in each phase."""

import math

import numpy as np
import pytest

from lib.domain.errors import UnknownSequenceError
from lib.domain.sequences import SEQUENCES, SequenceSpec
from lib.phantom.contrast import (
    CONTRAST,
    Relaxation,
    get_contrast,
    spin_echo_signal,
    spoiled_signal,
    tissue_signal,
)
from lib.phantom.tissues import CODES, TISSUES

FIELDS = (1.5, 3.0)


def signals(code: str, field_t: float) -> dict[str, float]:
    """Signal per tissue exactly as in the tables, in the middle of the protocol's ranges."""
    row = get_contrast(code)
    column = FIELDS.index(field_t)
    relaxation = Relaxation(
        t1_ms=np.array([tissue.t1_ms[column] for tissue in TISSUES.values()], np.float32),
        t2_ms=np.array([tissue.t2_ms[column] for tissue in TISSUES.values()], np.float32),
        uptake=np.ones(len(TISSUES), np.float32),
    )
    found = tissue_signal(
        kind=row.kind,
        field_t=field_t,
        tr_ms=sum(row.tr_ms) / 2,
        te_ms=sum(row.te_ms) / 2,
        flip_deg=sum(row.flip_deg) / 2,
        relaxation=relaxation,
        uptake_mm=np.array([row.uptake_mm.get(name, 0.0) for name in TISSUES], np.float32),
    )
    return {name: float(found[code]) for name, code in CODES.items()}


def one(value: float) -> np.ndarray:
    return np.array([value], np.float32)


def test_spoiled_echo_follows_the_steady_state_equation() -> None:
    e1 = math.exp(-4 / 800)
    by_hand = 0.9 * math.sin(math.radians(12)) * (1 - e1) / (1 - math.cos(math.radians(12)) * e1) * math.exp(-2 / 40)
    found = spoiled_signal(density=one(0.9), t1_ms=one(800), t2star_ms=one(40), tr_ms=4, te_ms=2, flip_deg=12)
    assert found[0] == pytest.approx(by_hand, rel=1e-4)
    assert found[0] == pytest.approx(0.03321, rel=1e-3)


def test_spin_echo_follows_recovery_and_decay() -> None:
    found = spin_echo_signal(density=one(1.0), t1_ms=one(1000), t2_ms=one(80), tr_ms=2000, te_ms=80)
    assert found[0] == pytest.approx((1 - math.exp(-2)) * math.exp(-1), rel=1e-4)


def test_every_sequence_has_a_row_of_contrast(sequence: SequenceSpec) -> None:
    assert (get_contrast(sequence.code).kind == "spin_echo") == (sequence.weighting == "T2")
    assert bool(get_contrast(sequence.code).uptake_mm) == (sequence.delay_s is not None)


def test_uptake_names_only_tissues() -> None:
    assert set().union(*(row.uptake_mm for row in CONTRAST.values())) <= TISSUES.keys()


def test_unknown_code_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownSequenceError, match="T2WI"):
        get_contrast("DWI")


@pytest.mark.parametrize("field_t", FIELDS)
@pytest.mark.parametrize("code", SEQUENCES)
def test_signals_are_finite_and_positive(code: str, field_t: float) -> None:
    found = signals(code, field_t)
    air = found.pop("air")
    assert air == 0
    assert all(math.isfinite(value) and value > 0 for value in found.values())


@pytest.mark.parametrize("field_t", FIELDS)
def test_cortex_outshines_medulla_only_in_the_corticomedullary_phase(field_t: float) -> None:
    early, late = signals("CP", field_t), signals("NP", field_t)
    assert early["cortex"] > 1.8 * early["medulla"]
    assert late["cortex"] == pytest.approx(late["medulla"], rel=0.1)


@pytest.mark.parametrize("field_t", FIELDS)
def test_clear_cell_enhances_early_and_papillary_hardly(field_t: float) -> None:
    before, early = signals("T1WI", field_t), signals("CP", field_t)
    gain = {name: early[name] / before[name] for name in ("clear cell", "chromophobe", "papillary")}
    assert gain["clear cell"] > gain["chromophobe"] > gain["papillary"] > 1
    assert gain["clear cell"] > 2
    assert gain["papillary"] < 1.7


@pytest.mark.parametrize("field_t", FIELDS)
def test_masses_stand_out_less_than_the_cortex_after_the_early_phase(field_t: float) -> None:
    late = signals("NP", field_t)
    assert max(late[name] for name in ("clear cell", "papillary", "chromophobe", "angiomyolipoma")) < late["cortex"]


@pytest.mark.parametrize("field_t", FIELDS)
def test_before_contrast_a_clear_cell_mass_is_nearly_isointense_to_cortex(field_t: float) -> None:
    before = signals("T1WI", field_t)
    assert 0.75 < before["clear cell"] / before["cortex"] < 1.0


@pytest.mark.parametrize("field_t", FIELDS)
def test_t2_brightness_is_cyst_then_cortex_then_papillary_and_muscle(field_t: float) -> None:
    found = signals("T2WI", field_t)
    assert found["cyst"] > found["clear cell"] > found["cortex"] > found["papillary"] > found["muscle"]


@pytest.mark.parametrize("field_t", FIELDS)
def test_urine_is_dark_until_contrast_is_excreted(field_t: float) -> None:
    assert signals("CP", field_t)["urine"] < signals("CP", field_t)["medulla"]
    assert signals("DP", field_t)["urine"] > 1.2 * signals("DP", field_t)["medulla"]
