"""One patient as a continuous description: shapes in patient millimetres, drawn from a seed.

Coordinates are RAS (x grows to the patient's right, y to the front, z to the head), the origin lies in the middle
of the trunk at the second lumbar vertebra. ``lib.phantom.raster`` turns a description into voxels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

from lib.domain.records import SMALL_MASS_MM
from lib.phantom.tissues import HISTOLOGIES

Point = tuple[float, float, float]
Axes = tuple[Point, Point, Point]
Side = Literal["right", "left"]
SIDES: tuple[Side, Side] = ("right", "left")

MIN_MASS_MM = 8.0
MASS_COUNTS = {0: 0.14, 1: 0.66, 2: 0.15, 3: 0.05}
CYST_COUNTS = {0: 0.38, 1: 0.28, 2: 0.18, 3: 0.10, 5: 0.06}
KIDNEY_STATES = {"normal": 0.84, "absent": 0.025, "atrophic": 0.04, "malrotated": 0.045, "hydronephrotic": 0.05}
INTERIORS: dict[str, dict[str, float]] = {
    "clear cell": {"homogeneous": 0.35, "necrotic": 0.35, "haemorrhagic": 0.12, "cystic": 0.18},
    "papillary": {"homogeneous": 0.62, "necrotic": 0.1, "haemorrhagic": 0.2, "cystic": 0.08},
    "chromophobe": {"homogeneous": 0.85, "necrotic": 0.15},
    "oncocytoma": {"homogeneous": 0.55, "scar": 0.45},
    "angiomyolipoma": {"homogeneous": 0.9, "haemorrhagic": 0.1},
}
_CLEARANCE_MM = 5.0
_TRIES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The trunk.

    Attributes:
        half_width_mm: From the middle to the skin at the side.
        half_depth_mm: From the middle to the skin at the front.
        fat_mm: Subcutaneous fat at (side, front, back).
        wall_mm: Thickness of the muscle of the abdominal wall.
        spine_y: Centre of the vertebral bodies.
        visceral: Room between the organs, 0 (lean) to 1.
        arms: Whether the arms lie beside the trunk.
    """

    half_width_mm: float
    half_depth_mm: float
    fat_mm: tuple[float, float, float]
    wall_mm: float
    spine_y: float
    visceral: float
    arms: bool

    @property
    def lean(self) -> float:
        """How little room there is between the organs, 0 to 1."""
        return 1 - self.visceral


@dataclass(frozen=True, slots=True, kw_only=True)
class Kidney:
    """A bean: an ellipsoid bent towards the hilum, with sinus, pyramids and calyces.

    Attributes:
        axes: Unit vectors (to the hilum, across, to the upper pole).
        radii_mm: Semi-axes along ``axes``.
        bend_mm: How far the poles lean to the hilum.
        cortex_mm: Thickness of the cortex.
        calyx_mm: Radius of the calyces.
        pyramids: Centres of the medullary pyramids, as fractions of the semi-axes.
    """

    side: Side
    state: str
    centre_ras: Point
    axes: Axes
    radii_mm: Point
    bend_mm: float
    cortex_mm: float
    calyx_mm: float
    pyramids: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """A mass or a simple cyst.

    Attributes:
        kind: What it is in the label.
        size_mm: Longest axis; irregularity only takes away from it.
        radii_mm: Semi-axes; the first is half of ``size_mm``.
        outward: How far its centre lies outside (positive) the kidney's surface, as a fraction of its radius.
        tissue: Row of TISSUES; of a mass, its histology.
        interior: Key of INTERIORS; ``homogeneous`` for a cyst.
        roughness: Largest relative dent of its surface.
    """

    kind: Literal["mass", "cyst"]
    side: Side
    centre_ras: Point
    axes: Axes
    radii_mm: Point
    size_mm: float
    outward: float
    tissue: str
    interior: str
    roughness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """Everything that is constant about one patient."""

    age: int
    sex: Literal["M", "F"]
    body: Body
    kidneys: tuple[Kidney, ...]
    lesions: tuple[Lesion, ...]
    liver_scale: float
    spleen_scale: float
    noise_seed: int

    @property
    def masses(self) -> tuple[Lesion, ...]:
        """The masses, largest first."""
        found = (lesion for lesion in self.lesions if lesion.kind == "mass")
        return tuple(sorted(found, key=lambda lesion: -lesion.size_mm))

    @property
    def cysts(self) -> tuple[Lesion, ...]:
        """The simple cysts."""
        return tuple(lesion for lesion in self.lesions if lesion.kind == "cyst")


def draw_anatomy(rng: Generator) -> Anatomy:
    """Draw one patient."""
    sex: Literal["M", "F"] = "M" if rng.random() < 0.63 else "F"
    age = int(np.clip(rng.normal(59, 13), 22, 88))
    body = _draw_body(rng, sex)
    kidneys = _draw_kidneys(rng, body)
    return Anatomy(
        age=age,
        sex=sex,
        body=body,
        kidneys=kidneys,
        lesions=_draw_lesions(rng, kidneys),
        liver_scale=float(rng.uniform(0.9, 1.1)),
        spleen_scale=float(rng.uniform(0.85, 1.2)),
        noise_seed=int(rng.integers(2**31)),
    )


def _draw_body(rng: Generator, sex: str) -> Body:
    size = rng.normal(0, 1)
    fatness = float(np.clip(rng.normal(0.45, 0.25), 0.05, 1.1))
    back = float(8 + 28 * fatness * rng.uniform(0.7, 1.3))
    side = float(6 + (30 if sex == "F" else 22) * fatness * rng.uniform(0.7, 1.3))
    front = float(6 + 32 * fatness * rng.uniform(0.6, 1.3))
    visceral = float(np.clip((0.75 if sex == "M" else 0.45) * fatness + rng.normal(0.15, 0.12), 0.05, 1.0))
    half_width = float(127 + 5 * size + side + 14 * visceral)
    half_depth = float((164 + 8 * size + back + front + 38 * visceral) / 2)
    return Body(
        half_width_mm=half_width,
        half_depth_mm=half_depth,
        fat_mm=(side, front, back),
        wall_mm=float(rng.uniform(9, 15)),
        spine_y=-half_depth + back + float(rng.uniform(58, 68)),
        visceral=visceral,
        arms=bool(rng.random() < 0.3),
    )


def _draw_kidneys(rng: Generator, body: Body) -> tuple[Kidney, ...]:
    scale = float(np.clip(rng.normal(1, 0.08), 0.8, 1.2))
    states = [_choose(rng, KIDNEY_STATES) for _ in SIDES]
    if "absent" in states:  # the other one then works alone, and is large
        lost = states.index("absent")
        states = ["normal", "normal"]
        states[lost] = "absent"
        scale *= 1.12
    pair = [_draw_kidney(rng, body, side, state, scale) for side, state in zip(SIDES, states, strict=True)]
    return tuple(kidney for kidney in pair if kidney.state != "absent")


def _draw_kidney(rng: Generator, body: Body, side: Side, state: str, scale: float) -> Kidney:
    sign = 1.0 if side == "right" else -1.0
    scale *= 0.62 if state == "atrophic" else 1.0
    turn = rng.normal(30, 10) if state != "malrotated" else rng.normal(75, 20)
    axes = _kidney_axes(sign, turn_deg=turn, lean_deg=rng.normal(14, 5), tip_deg=rng.normal(10, 5))
    radii = (rng.normal(29, 2) * scale, rng.normal(26, 1.8) * scale, rng.normal(55, 4) * scale)
    centre = (
        sign * (radii[0] + 31 + 9 * body.visceral + rng.normal(0, 3)),
        body.spine_y + 5 + 6 * body.visceral + rng.normal(0, 4),
        (-6 if side == "right" else 6) + rng.normal(0, 9),
    )
    swollen = state == "hydronephrotic"
    return Kidney(
        side=side,
        state=state,
        centre_ras=(float(centre[0]), float(centre[1]), float(centre[2])),
        axes=axes,
        radii_mm=(float(radii[0]), float(radii[1]), float(radii[2])),
        bend_mm=float(rng.uniform(4, 11) * scale),
        cortex_mm=float(rng.uniform(5.2, 7.5) * (0.75 if swollen or state == "atrophic" else 1)),
        calyx_mm=float(rng.uniform(5, 8) if swollen else rng.uniform(1.4, 2.6)),
        pyramids=_draw_pyramids(rng),
    )


def _kidney_axes(sign: float, *, turn_deg: float, lean_deg: float, tip_deg: float) -> Axes:
    """Hilum turned to the front, lower pole leaning outwards and to the front."""
    turn, lean, tip = (math.radians(angle) for angle in (turn_deg, lean_deg, tip_deg))
    up = np.array([-sign * math.sin(lean), -math.sin(tip), 1.0])
    up /= np.linalg.norm(up)
    hilum = np.array([-sign * math.cos(turn), math.sin(turn), 0.0])
    hilum -= up * (hilum @ up)
    hilum /= np.linalg.norm(hilum)
    return _as_axes(np.stack([hilum, np.cross(up, hilum), up]))


def _draw_pyramids(rng: Generator) -> tuple[Point, ...]:
    """Rows of pyramids around the sinus, none on the side of the hilum but at the poles."""
    points: list[Point] = []
    for height in (-0.62, -0.31, 0.0, 0.31, 0.62):
        angles = (80, 140, 220, 280) if abs(height) < 0.5 else (60, 180, 300)
        for angle in angles:
            phi = math.radians(angle + rng.normal(0, 9))
            reach = float(rng.uniform(0.50, 0.58))
            points.append((reach * math.cos(phi), reach * math.sin(phi), height + float(rng.normal(0, 0.04))))
    return tuple(points)


def _draw_lesions(rng: Generator, kidneys: tuple[Kidney, ...]) -> tuple[Lesion, ...]:
    hosts = [kidney for kidney in kidneys if kidney.state != "atrophic"]
    placed: list[Lesion] = []
    if not hosts:
        return ()
    for _ in range(int(_choose(rng, {str(k): v for k, v in MASS_COUNTS.items()}))):
        _place(placed, [_draw_mass(rng, hosts[rng.integers(len(hosts))]) for _ in range(_TRIES)])
    for _ in range(int(_choose(rng, {str(k): v for k, v in CYST_COUNTS.items()}))):
        _place(placed, [_draw_cyst(rng, hosts[rng.integers(len(hosts))]) for _ in range(_TRIES)])
    return tuple(placed)


def _place(placed: list[Lesion], candidates: list[Lesion]) -> None:
    """Keep the first candidate that touches no other lesion."""
    for candidate in candidates:
        if all(_gap_mm(candidate, other) > _CLEARANCE_MM for other in placed):
            placed.append(candidate)
            return


def _gap_mm(one: Lesion, other: Lesion) -> float:
    return math.dist(one.centre_ras, other.centre_ras) - (one.size_mm + other.size_mm) / 2


def _draw_mass(rng: Generator, kidney: Kidney) -> Lesion:
    size = _draw_size(rng, median=25, spread=0.42, low=MIN_MASS_MM, high=SMALL_MASS_MM)
    tissue = _choose(rng, HISTOLOGIES)
    interior = _choose(rng, INTERIORS[tissue])
    if size < 14:  # too small to have outgrown its vessels
        interior = "homogeneous"
    return _draw_lesion(rng, kidney, "mass", size, tissue, interior, float(rng.uniform(0.1, 0.3)))


def _draw_cyst(rng: Generator, kidney: Kidney) -> Lesion:
    size = _draw_size(rng, median=14, spread=0.5, low=5, high=50)
    tissue = "bloody_cyst" if rng.random() < 0.12 else "cyst"
    return _draw_lesion(rng, kidney, "cyst", size, tissue, "homogeneous", float(rng.uniform(0.02, 0.08)))


def _draw_lesion(
    rng: Generator,
    kidney: Kidney,
    kind: Literal["mass", "cyst"],
    size: float,
    tissue: str,
    interior: str,
    roughness: float,
) -> Lesion:
    outward = float(rng.uniform(-0.75, 0.6))
    squeeze = rng.uniform(0.82, 1.0, size=2)
    return Lesion(
        kind=kind,
        side=kidney.side,
        centre_ras=_beside(kidney, _direction(rng), outward * size / 2),
        axes=_as_axes(np.linalg.qr(rng.normal(size=(3, 3)))[0]),
        radii_mm=(size / 2, float(size / 2 * squeeze[0]), float(size / 2 * squeeze[1])),
        size_mm=size,
        outward=outward,
        tissue=tissue,
        interior=interior,
        roughness=roughness,
    )


def _direction(rng: Generator) -> np.ndarray:
    """A unit vector in kidney axes that does not point into the hilum."""
    while True:
        vector: np.ndarray = rng.normal(size=3)
        vector /= np.linalg.norm(vector)
        if vector[0] < 0.35:
            return vector


def _beside(kidney: Kidney, direction: np.ndarray, distance_mm: float) -> Point:
    """The point ``distance_mm`` outside the kidney's surface, seen in a direction of its axes."""
    radii = np.array(kidney.radii_mm)
    normal = direction / radii
    normal /= np.linalg.norm(normal)
    local = direction * radii + normal * distance_mm
    local[0] += kidney.bend_mm * min(1.0, (local[2] / radii[2]) ** 2)
    x, y, z = np.array(kidney.centre_ras) + local @ np.array(kidney.axes)
    return float(x), float(y), float(z)


def _draw_size(rng: Generator, *, median: float, spread: float, low: float, high: float) -> float:
    """Log-normal within limits, so that the median stays where it is asked for, nearly."""
    while True:
        size = float(median * math.exp(rng.normal(0, spread)))
        if low <= size <= high:
            return size


def _choose(rng: Generator, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _as_axes(matrix: np.ndarray) -> Axes:
    a, b, c = ((float(row[0]), float(row[1]), float(row[2])) for row in matrix)
    return a, b, c
