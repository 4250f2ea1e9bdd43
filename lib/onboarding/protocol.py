"""What an image says about its protocol: one table of measures, and one function that takes them all.

A measure that cannot be taken (no sidecar, unknown field) is left out; nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lib.domain.records import CaseRecord
from lib.imaging.volume import Volume

_BODY_FRACTION = 0.12  # of the bright end of the histogram: below is air, as in ``nets.grids``
_LAPLACE = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])  # blind to edges along rows and columns
_LAPLACE_GAIN = 6.0  # its output's standard deviation on noise of standard deviation 1
_MAD_TO_SD = 1.4826
_MOST_SLICES = 12  # the noise is measured in the middle ones
_FEWEST_VOXELS = 100
_MS = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One row: a number that is taken of every image.

    Attributes:
        matters: What a large difference does to proposals, for a physicist.
        digits: Significant ones, in reports.
    """

    name: str
    title: str
    unit: str
    matters: str
    digits: int = 3


MEASURES: dict[str, Measure] = {
    row.name: row
    for row in (
        Measure(name="in_plane_mm", title="Voxel in the slice", unit="mm", matters="fine borders blur"),
        Measure(name="slice_mm", title="Slice spacing", unit="mm", matters="small masses fall between slices"),
        Measure(name="field_t", title="Field strength", unit="T", matters="contrast and shading change"),
        Measure(name="tr_ms", title="Repetition time", unit="ms", matters="contrast changes"),
        Measure(name="te_ms", title="Echo time", unit="ms", matters="contrast changes"),
        Measure(name="flip_deg", title="Flip angle", unit="°", matters="contrast changes"),
        Measure(name="view_mm", title="Field of view in the slice", unit="mm", matters="kidneys may be cut off"),
        Measure(name="coverage_mm", title="Coverage across slices", unit="mm", matters="kidneys may be cut off"),
        Measure(name="body_share", title="Share of the image that is body", unit="", matters="cropping changes"),
        Measure(name="snr", title="Signal to noise of the body", unit="", matters="faint masses drown"),
        Measure(name="contrast", title="Spread of the signal over its median", unit="", matters="tissues look alike"),
        Measure(name="skewness", title="Skewness of its signal", unit="", matters="another weighting or bright fat"),
    )
}  # fmt: skip


def measure_protocol(image: Volume, record: CaseRecord, sidecar: Mapping[str, object]) -> dict[str, float]:
    """Take every measure that the image and what is known of it allow.

    Args:
        image: Any orientation.
        record: Its row of the cohort table.
        sidecar: As dcm2niix writes it; times in seconds.

    Returns:
        Finite values by name, in the order of MEASURES.
    """
    found = {
        **_geometry(image),
        "field_t": record.field_t or _number(sidecar, "MagneticFieldStrength"),
        "tr_ms": _number(sidecar, "RepetitionTime") * _MS,
        "te_ms": _number(sidecar, "EchoTime") * _MS,
        "flip_deg": _number(sidecar, "FlipAngle"),
        **_signal(image),
    }
    return {name: found[name] for name in MEASURES if math.isfinite(found.get(name, math.nan)) and found[name] != 0}


def _geometry(image: Volume) -> dict[str, float]:
    spacing = np.array(image.spacing_mm)
    across = int(spacing.argmax())
    extent = spacing * image.shape
    inside = [axis for axis in range(spacing.size) if axis != across]
    return {
        "in_plane_mm": float(spacing[inside].mean()),
        "slice_mm": float(spacing[across]),
        "view_mm": float(extent[inside].max()),
        "coverage_mm": float(extent[across]),
    }


def _signal(image: Volume) -> dict[str, float]:
    """Statistics that do not depend on the scanner's unit of signal; none when nothing stands out."""
    pixels = np.moveaxis(np.asarray(image.data, dtype=np.float32), int(np.argmax(image.spacing_mm)), -1)
    dark, bright = np.percentile(pixels, (1, 98))
    body = pixels > dark + _BODY_FRACTION * (bright - dark)
    values = pixels[body]
    if values.size < _FEWEST_VOXELS or (median := float(np.median(values))) <= 0:
        return {}
    low, high = np.percentile(values, (5, 95))
    spread = max(float(values.std()), 1e-6 * median)
    noise = _noise(pixels, body)
    return {
        "body_share": float(body.mean()),
        "snr": median / noise if noise > 0 else math.nan,
        "contrast": float(high - low) / median,
        "skewness": float((((values - values.mean()) / spread) ** 3).mean()),
    }


def _noise(pixels: NDArray[np.float32], body: NDArray[np.bool_]) -> float:
    """Standard deviation of the noise within the body, after Immerkaer (1996), robustly: the median, not the mean."""
    depth = pixels.shape[-1]
    first = max(0, (depth - _MOST_SLICES) // 2)
    middle = slice(first, first + _MOST_SLICES)
    edges = ndimage.convolve(pixels[..., middle], _LAPLACE[..., None], mode="nearest")
    inside = np.abs(edges[body[..., middle]])
    return _MAD_TO_SD * float(np.median(inside)) / _LAPLACE_GAIN if inside.size else 0.0


def _number(sidecar: Mapping[str, object], name: str) -> float:
    value = sidecar.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
