"""Signal equations, and the table that says how each sequence weights and enhances: one row a sequence.

Contrast agent: gadobutrol, r1 = 5.2 and 5.0 and r2 = 6.1 and 7.1 L/(mmol s) in plasma at 1.5 T and 3 T (Rohrer et al.,
Invest Radiol 2005;40:715-724). Concentrations are assumed: of masses, so that they enhance in the order that
Sun et al., Radiology 2009;250:793-802 found (clear cell, then chromophobe, then papillary); of organs, so that the
phases look as they do in the clinic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lib.domain.errors import UnknownSequenceError
from lib.phantom.noise import Array
from lib.phantom.tissues import TISSUES

Range = tuple[float, float]

RELAXIVITY_1 = (5.2, 5.0)
RELAXIVITY_2 = (6.1, 7.1)
# Dephasing inside a voxel, added to 1 / T2 in gradient echoes, in 1/s; air next to lung and bowel is far worse.
DEPHASING = (14.0, 26.0)
GAS_DEPHASING = 400.0
# J-coupling is broken up by a train of close refocusing pulses, so that fat keeps its signal (Henkelman et al.,
# J Magn Reson Imaging 1992;2:533-540); the factor is an effective one.
FSE_FAT_T2_GAIN = 1.8
# Refocusing pulses below 180 degrees store magnetisation along the field, where only T1 acts: the contrast is that of
# a shorter echo time (Busse et al., Magn Reson Med 2006;55:1030-1037). The factor is an assumption.
REFOCUSED_SHARE = 0.7
# What flowing blood keeps in a spin echo, where it leaves the slice between the pulses (assumed).
FLOW_LEFT = {"artery": 0.12, "vein": 0.3, "portal": 0.5}
_UPTAKE_SPREAD_PATIENT, _UPTAKE_SPREAD_IMAGE = 0.16, 0.08
_URINE_SPREAD = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceContrast:
    """One row of the table.

    Attributes:
        kind: Spoiled gradient echo or fast spin echo.
        tr_ms: Repetition time, drawn from this range; so are the next two.
        te_ms: Echo time (effective, for a spin echo).
        flip_deg: Excitation angle.
        fat_suppressed: Share of images with fat suppression.
        opposed: Share of the others with fat against water.
        coronal: Share of coronal images.
        slice_mm: Distance of the slices.
        slices: Taken one by one, or as one volume.
        pixel: In-plane size relative to the scanner's.
        uptake_mm: Contrast agent per tissue, in mmol/L (0 where not named).
        names: Words of the series description.
        other: A second protocol by which sites take the same sequence, and the share of images made by it.
    """

    kind: Literal["spoiled", "spin_echo"]
    tr_ms: Range
    te_ms: Range
    flip_deg: Range
    fat_suppressed: float
    opposed: float = 0.0
    coronal: float = 0.0
    slice_mm: Range = (3.0, 4.0)
    slices: Literal["2D", "3D"] = "3D"
    pixel: float = 1.0
    uptake_mm: Mapping[str, float] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    other: tuple[float, SequenceContrast] | None = None


_CP = {
    "cortex": 1.5, "medulla": 0.28, "artery": 3.2, "vein": 0.9, "portal": 0.6, "liver": 0.12, "spleen": 0.9,
    "pancreas": 0.75, "bowel_wall": 0.4, "muscle": 0.06, "marrow": 0.08, "disc": 0.01,
    "clear cell": 0.95, "papillary": 0.12, "chromophobe": 0.40, "oncocytoma": 0.95, "angiomyolipoma": 0.80,
    "capsule": 0.15, "necrosis": 0.03, "scar": 0.15, "haemorrhage": 0.05,
}  # fmt: skip
_NP = {
    "cortex": 1.25, "medulla": 1.2, "artery": 1.5, "vein": 1.5, "portal": 1.5, "liver": 0.5, "spleen": 0.9,
    "pancreas": 0.55, "bowel_wall": 0.5, "muscle": 0.13, "marrow": 0.12, "disc": 0.03, "urine": 0.05,
    "clear cell": 0.72, "papillary": 0.30, "chromophobe": 0.52, "oncocytoma": 0.80, "angiomyolipoma": 0.50,
    "capsule": 0.40, "necrosis": 0.05, "scar": 0.35, "haemorrhage": 0.08,
}  # fmt: skip
_DP = {
    "cortex": 0.95, "medulla": 1.0, "artery": 0.9, "vein": 0.9, "portal": 0.9, "liver": 0.38, "spleen": 0.55,
    "pancreas": 0.4, "bowel_wall": 0.4, "muscle": 0.14, "marrow": 0.12, "disc": 0.06, "urine": 12.0, "ureter": 16.0,
    "clear cell": 0.50, "papillary": 0.34, "chromophobe": 0.44, "oncocytoma": 0.55, "angiomyolipoma": 0.34,
    "capsule": 0.55, "necrosis": 0.10, "scar": 0.50, "haemorrhage": 0.08,
}  # fmt: skip


def _spoiled(uptake_mm: Mapping[str, float], *names: str, fat_suppressed: float = 1.0) -> SequenceContrast:
    return SequenceContrast(
        kind="spoiled",
        tr_ms=(3.2, 5.0),
        te_ms=(1.2, 2.2),
        flip_deg=(9, 14),
        fat_suppressed=fat_suppressed,
        opposed=0.35,
        uptake_mm=uptake_mm,
        coronal=0.1,
        names=names,
    )


# T1 slice by slice with two echoes, as sites do that do not take it as a volume: fat against water in the first and
# bright in the second, thick slices, and a weighting that differs much between sites (assumed).
_TWO_ECHOES = SequenceContrast(
    kind="spoiled",
    tr_ms=(110, 230),
    te_ms=(1.2, 4.8),
    flip_deg=(25, 80),
    fat_suppressed=0.1,
    opposed=0.4,
    coronal=0.35,
    slice_mm=(4.5, 6.5),
    slices="2D",
    names=("pre",),
)

CONTRAST: dict[str, SequenceContrast] = {
    "T1WI": replace(_spoiled({}, "pre", fat_suppressed=0.55), other=(0.45, _TWO_ECHOES)),
    "T2WI": SequenceContrast(
        kind="spin_echo",
        tr_ms=(1400, 4200),
        te_ms=(72, 105),
        flip_deg=(90, 90),
        fat_suppressed=0.5,
        coronal=0.22,
        slice_mm=(4.0, 6.0),
        slices="2D",
        pixel=0.92,
    ),
    "CP": _spoiled(_CP, "art", "arterial", "corticomedullary", "30s"),
    "NP": _spoiled(_NP, "ven", "portal venous", "nephrographic", "90s"),
    "DP": _spoiled(_DP, "delayed", "del", "excretory", "5min"),
}


def get_contrast(code: str) -> SequenceContrast:
    """Look up a row of the table.

    Raises:
        UnknownSequenceError: When no row has this code.
    """
    try:
        return CONTRAST[code]
    except KeyError:
        msg = f"no contrast for sequence {code!r}; expected one of: {', '.join(CONTRAST)}"
        raise UnknownSequenceError(msg) from None


def spoiled_signal(
    *, density: Array, t1_ms: Array, t2star_ms: Array, tr_ms: float, te_ms: float, flip_deg: float
) -> Array:
    """Steady state of a spoiled gradient echo, for a receiver gain of one."""
    flip = math.radians(flip_deg)
    decay = np.exp(-tr_ms / t1_ms)
    steady = math.sin(flip) * (1 - decay) / (1 - math.cos(flip) * decay)
    signal: Array = (density * steady * np.exp(-te_ms / t2star_ms)).astype(np.float32)
    return signal


def spin_echo_signal(*, density: Array, t1_ms: Array, t2_ms: Array, tr_ms: float, te_ms: float) -> Array:
    """Spin echo at the effective echo time, for a receiver gain of one."""
    signal: Array = (density * (1 - np.exp(-tr_ms / t1_ms)) * np.exp(-te_ms / t2_ms)).astype(np.float32)
    return signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """One patient's tissues at one field strength, in the order of TISSUES.

    Attributes:
        t1_ms: Without contrast agent.
        t2_ms: Without contrast agent.
        uptake: The patient's own factor on the table's concentrations.
    """

    t1_ms: Array
    t2_ms: Array
    uptake: Array


def draw_relaxation(rng: Generator, field_t: float) -> Relaxation:
    """Draw how this patient's tissues differ from the table."""
    rows = list(TISSUES.values())
    spread = np.array([row.spread for row in rows])
    t1_factor, t2_factor = (np.exp(spread * rng.normal(size=len(rows))) for _ in range(2))
    column = _column(field_t)
    return Relaxation(
        t1_ms=(np.array([row.t1_ms[column] for row in rows]) * t1_factor).astype(np.float32),
        t2_ms=(np.array([row.t2_ms[column] for row in rows]) * t2_factor).astype(np.float32),
        uptake=np.exp(_UPTAKE_SPREAD_PATIENT * rng.normal(size=len(rows))).astype(np.float32),
    )


def draw_uptake(rng: Generator, contrast: SequenceContrast, relaxation: Relaxation) -> Array:
    """Concentration of contrast agent in each tissue of one image, in mmol/L."""
    table = np.array([contrast.uptake_mm.get(name, 0.0) for name in TISSUES])
    spread = np.array([_URINE_SPREAD if name in ("urine", "ureter") else _UPTAKE_SPREAD_IMAGE for name in TISSUES])
    return (table * relaxation.uptake * np.exp(spread * rng.normal(size=len(table)))).astype(np.float32)


def tissue_signal(
    *,
    kind: Literal["spoiled", "spin_echo"],
    field_t: float,
    tr_ms: float,
    te_ms: float,
    flip_deg: float,
    relaxation: Relaxation,
    uptake_mm: Array,
) -> Array:
    """Signal of each tissue, in the order of TISSUES."""
    column = _column(field_t)
    rows = list(TISSUES.values())
    density = np.array([row.density for row in rows], np.float32)
    t1_ms = _inverse(1000 / relaxation.t1_ms + RELAXIVITY_1[column] * uptake_mm)
    t2_ms = _inverse(1000 / relaxation.t2_ms + RELAXIVITY_2[column] * uptake_mm)
    if kind == "spin_echo":
        t2_ms *= np.array([FSE_FAT_T2_GAIN if row.fat else 1.0 for row in rows], np.float32) / REFOCUSED_SHARE
        density *= np.array([FLOW_LEFT.get(row.name, 1.0) for row in rows], np.float32)
        return spin_echo_signal(density=density, t1_ms=t1_ms, t2_ms=t2_ms, tr_ms=tr_ms, te_ms=te_ms)
    lost = np.array([GAS_DEPHASING if row.name in ("air", "lung") else DEPHASING[column] for row in rows], np.float32)
    star = _inverse(1000 / t2_ms + lost)
    return spoiled_signal(density=density, t1_ms=t1_ms, t2star_ms=star, tr_ms=tr_ms, te_ms=te_ms, flip_deg=flip_deg)


def _inverse(rate: NDArray[np.floating]) -> Array:
    """Milliseconds from a rate in 1/s, or back."""
    return (1000 / rate).astype(np.float32)


def _column(field_t: float) -> int:
    """Column of the tables: 0 for 1.5 T, 1 for 3 T."""
    return int(field_t > 2.0)
