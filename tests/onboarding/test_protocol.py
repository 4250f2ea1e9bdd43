"""Measures say what they are named for, whatever the scanner's unit of signal."""

from __future__ import annotations

import numpy as np
import pytest

from lib.domain.records import CaseRecord
from lib.imaging.volume import Volume
from lib.onboarding.protocol import MEASURES, measure_protocol

RECORD = CaseRecord(image_id="P1_CP", patient_id="P1", sequence="CP", field_t=3.0)
SHAPE = (64, 60, 16)


def body(noise: float, level: float = 100.0) -> Volume:
    """A cylinder in air, with noise."""
    rng = np.random.default_rng(0)
    places = np.indices(SHAPE)
    inside = ((places[0] - 32) ** 2 + (places[1] - 30) ** 2) < 26**2
    data = level * inside + rng.normal(0, noise, SHAPE)
    return Volume(data=np.abs(data).astype(np.float32), affine=np.diag([1.5, 1.5, 4.0, 1.0]))


def test_geometry_is_that_of_the_slices_whatever_the_axis() -> None:
    found = measure_protocol(body(1), RECORD, {})
    turned = body(1)
    turned = Volume(data=np.moveaxis(turned.data, 2, 0), affine=np.diag([4.0, 1.5, 1.5, 1.0]))
    assert (found["in_plane_mm"], found["slice_mm"]) == (1.5, 4.0)
    assert (found["view_mm"], found["coverage_mm"]) == (96.0, 64.0)
    again = measure_protocol(turned, RECORD, {})
    assert {name: again[name] for name in found} == pytest.approx(found, rel=0.02)


@pytest.mark.parametrize("noise", [2.0, 5.0, 10.0])
def test_signal_to_noise_is_that_of_the_body(noise: float) -> None:
    assert measure_protocol(body(noise), RECORD, {})["snr"] == pytest.approx(100 / noise, rel=0.15)


def test_ratios_do_not_depend_on_the_scanners_unit() -> None:
    weak, strong = measure_protocol(body(2), RECORD, {}), measure_protocol(body(2000, 100_000.0), RECORD, {})
    assert strong == pytest.approx(weak, rel=0.01)


def test_times_are_in_milliseconds_and_what_is_unknown_is_left_out() -> None:
    sidecar = {"RepetitionTime": 0.0045, "EchoTime": 0.002, "FlipAngle": "wrong"}
    found = measure_protocol(body(1), RECORD, sidecar)
    assert (found["tr_ms"], found["te_ms"], found["field_t"]) == (4.5, 2.0, 3.0)
    assert "flip_deg" not in found


def test_an_image_of_one_value_has_geometry_only() -> None:
    flat = Volume(data=np.zeros(SHAPE, np.float32), affine=np.diag([1.5, 1.5, 4.0, 1.0]))
    found = measure_protocol(flat, RECORD, {})
    assert set(found) == {"in_plane_mm", "slice_mm", "view_mm", "coverage_mm", "field_t"}
    assert list(found) == [name for name in MEASURES if name in found]
