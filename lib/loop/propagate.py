"""Propose a label for one image out of the reader's label on another image of the same patient.

Each kidney with what grows on it is a region that moves by itself: aligned on its own, carried on its own. What the
network proposes on the target is averaged in where both agree that something is there. A propagated label is a
proposal: it carries an expected Dice and is never final.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from lib.domain.errors import RegistrationError
from lib.domain.structures import BACKGROUND, KIDNEY, MASS, STRUCTURE_NAMES, STRUCTURES
from lib.imaging.geometry import check_same_grid
from lib.imaging.lesions import components
from lib.imaging.metrics import dice
from lib.imaging.registration import SHELL_MM, Alignment, align, share_inside, voxel_centres_ras
from lib.imaging.shapes import FAR_MM, VALUES, Box, Distances, box_around, carry, label_of, signed_distance_mm
from lib.imaging.volume import Grid, Volume
from lib.loop.expected_dice import Evidence, expected_dice

Mask = NDArray[np.bool_]

LOWEST_EXPECTED = 0.5  # below, a reader is quicker without it
NETWORK_SHARE = 0.25  # weight of the network's surface against the carried one
TRUSTED = 0.7  # Dice with the carried piece from which on the network's surface is averaged in
_ALONE_MM3 = 5000.0  # smaller pieces move with the nearest region
_MASS_SHELL_MM = 15.0  # around a region without kidney: a mass alone has too little structure
_COMPARED = 500  # points of a piece that are compared with another's
_OUTSIDE = 0.1  # a region with less than this share in the field of view is not in the image


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Propagation:
    """What became of one label on one target, with the sentence that a reader sees.

    Attributes:
        label: The proposal on the target's grid; None when it was not propagated.
        reason: Why not; or how far the regions moved and how good the proposal is expected to be.
        expected: Expected Dice of the masses, or of the kidneys when the label has no mass; 0 when unknown.
        evidence: What the expectation rests on; None when no alignment was reached.
        shifts_mm: How far each region moved along (right, anterior, superior).
        extra_masses: Masses that only the network sees; they are not in the label.
    """

    label: Volume | None
    reason: str
    expected: float = 0.0
    evidence: Evidence | None = None
    shifts_mm: Sequence[tuple[float, float, float]] = field(default=())
    extra_masses: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carried:
    """A label carried onto part of the target, before anything is averaged in.

    Attributes:
        target: The image.
        box: The part.
        coarsest_mm: Largest voxel edge of both images.
        distances_mm: Signed distances (structures, i, j, k) on it.
        alignments: One a region.
        with_mass: Whether that region holds a mass.
        left_out: Number of regions that lie outside the field of view.
    """

    target: Volume
    box: Box
    coarsest_mm: float
    distances_mm: Distances
    alignments: Sequence[Alignment]
    with_mass: Sequence[bool]
    left_out: int


def propagate(
    label: Volume,
    source: Volume,
    target: Volume,
    *,
    drawn: Collection[str] = STRUCTURE_NAMES,
    proposal: Volume | None = None,
) -> Propagation:
    """Carry a reader's label onto another image of the same examination.

    Args:
        label: On the source's grid.
        source: The image that was labelled.
        target: Another image of the patient; any orientation, spacing and field of view.
        drawn: Structures that the reader drew; the others are taken from the network alone.
        proposal: What the network proposes on the target, when there is something.

    Raises:
        GeometryError: When the label is not on the source's grid, or the proposal not on the target's.
    """
    check_same_grid(label, source)
    try:
        carried = carry_label(label, source, target)
    except RegistrationError as error:
        return Propagation(label=None, reason=f"not propagated: {error}")
    return judge(carried, proposal, drawn)


def judge(carried: Carried, proposal: Volume | None, drawn: Collection[str] = STRUCTURE_NAMES) -> Propagation:
    """Average the network's proposal in, and say how good the result is expected to be.

    Raises:
        GeometryError: When the proposal is not on the target's grid.
    """
    target = carried.target
    if proposal is not None:
        check_same_grid(proposal, target)
    network = None if proposal is None else Volume(data=proposal.data[carried.box], affine=proposal.affine)
    fused = carried.distances_mm if network is None else fuse(carried.distances_mm, network)
    evidence = _evidence(carried, network)
    expected = expected_dice(evidence)
    shifts = [found.shift_mm for found in carried.alignments]
    if expected < LOWEST_EXPECTED:
        reason = f"not propagated: the expected Dice is {expected:.2f}; expected at least {LOWEST_EXPECTED:g}"
        return Propagation(label=None, reason=reason, expected=expected, evidence=evidence, shifts_mm=shifts)
    whole = np.zeros(target.shape, np.uint8) if proposal is None else _undrawn(proposal, drawn)
    values = label_of(fused)
    whole[carried.box] = np.where(values > 0, values, whole[carried.box])
    extra = 0 if proposal is None or "mass" not in drawn else _extra_masses(proposal.data == MASS, whole == MASS)
    return Propagation(
        label=Volume(data=whole, affine=target.affine),
        reason=_sentence(carried, evidence, expected, extra),
        expected=expected,
        evidence=evidence,
        shifts_mm=shifts,
        extra_masses=extra,
    )


def regions_of(label: Volume) -> list[Mask]:
    """Parts of a label that move together: each large connected piece with the small ones nearest to it."""
    numbered, count = components(label.data != BACKGROUND)
    if not count:
        return []
    sizes = np.bincount(numbered.ravel())[1:] * abs(np.linalg.det(label.affine[:3, :3]))
    large = [number for number in range(1, count + 1) if sizes[number - 1] >= min(_ALONE_MM3, sizes.max())]
    owner = np.arange(count + 1)
    for number in sorted(set(range(1, count + 1)) - set(large)):
        owner[number] = min(large, key=lambda other: _gap_mm(numbered, number, other, label.affine))
    return [owner[numbered] == number for number in large]


def _gap_mm(numbered: NDArray[np.int32], one: int, other: int, affine: NDArray[np.float64]) -> float:
    """Smallest distance between some voxels of two pieces."""
    some = [voxel_centres_ras(numbered == number, affine) for number in (one, other)]
    return float(cdist(*(points[:: -(-len(points) // _COMPARED)] for points in some)).min())


def fuse(carried_mm: Distances, network: Volume, *, share: float = NETWORK_SHARE) -> Distances:
    """Average the network's surfaces into the carried ones, piece by piece, where both are nearly the same.

    The reader has said what there is: a piece that only the network sees is left out, one that it misses or sees
    otherwise stays as it was carried.

    Args:
        carried_mm: Signed distances (structures, i, j, k).
        network: The network's label on the same voxels.
        share: Weight of the network's surface.
    """
    fused = carried_mm.copy()
    kidney = VALUES.index(KIDNEY)
    lesions = (np.delete(carried_mm, kidney, axis=0) > 0).any(0)
    for index, value in enumerate(VALUES):
        ours, theirs = carried_mm[index] > 0, network.data == value
        if index == kidney:  # a mass that the network takes for kidney would be pressed out of its place
            theirs = theirs & ~lesions
        partner = _partner(ours, theirs)
        if (partner != ours).any():
            theirs_mm = signed_distance_mm(partner, network.spacing_mm)
            fused[index] = (1 - share) * carried_mm[index] + share * theirs_mm
    return fused


def _partner(ours: Mask, theirs: Mask) -> Mask:
    """Our pieces, those that the network sees nearly the same in its shape."""
    numbered, count = components(ours)
    partner = ours.copy()
    for number in range(1, count + 1):
        piece = numbered == number
        met = _meeting(theirs, piece)
        if (dice(met, piece) or 0.0) >= TRUSTED:
            partner = (partner & ~piece) | met
    return partner


def _meeting(pieces: Mask, others: Mask) -> Mask:
    """The connected pieces of one mask that touch another mask."""
    numbered, count = components(pieces)
    met = np.zeros(count + 1, bool)
    met[np.unique(numbered[others])] = True
    met[0] = False
    return met[numbered]


def carry_label(label: Volume, source: Volume, target: Volume) -> Carried:
    """Align and carry every region that lies in the target's field of view.

    Raises:
        RegistrationError: When there is none, or one cannot be aligned.
    """
    regions = regions_of(label)
    if not regions:
        msg = "the label is empty; expected a kidney, a mass or a cyst to carry over"
        raise RegistrationError(msg)
    shares = [share_inside(voxel_centres_ras(region, label.affine), target) for region in regions]
    seen = [region for region, share in zip(regions, shares, strict=True) if share >= _OUTSIDE]
    if not seen:
        msg = "nothing of the label lies in the target's field of view; expected images of one examination"
        raise RegistrationError(msg)
    alignments = [align(source, region, target, shell_mm=_shell_mm(label, region)) for region in seen]
    onto = Grid(shape=target.shape, affine=target.affine)
    everywhere = np.full((len(VALUES), *target.shape), -FAR_MM, np.float32)
    for region, found in zip(seen, alignments, strict=True):
        carry(label, region, found.matrix, onto, everywhere)
    inside = everywhere.max(0) > 0
    if not inside.any():
        msg = "nothing of the aligned label covers a voxel of the target; expected images of one examination"
        raise RegistrationError(msg)
    box = box_around(inside, target.spacing_mm)
    return Carried(
        target=target,
        box=box,
        coarsest_mm=max(*source.spacing_mm, *target.spacing_mm),
        distances_mm=everywhere[(slice(None), *box)],
        alignments=alignments,
        with_mass=[bool((label.data[region] == MASS).any()) for region in seen],
        left_out=len(regions) - len(seen),
    )


def _shell_mm(label: Volume, region: Mask) -> float:
    return SHELL_MM if (label.data[region] == KIDNEY).any() else _MASS_SHELL_MM


def _evidence(carried: Carried, network: Volume | None) -> Evidence:
    of_mass = any(carried.with_mass)
    pairs = zip(carried.alignments, carried.with_mass, strict=True)
    counting = [found for found, with_mass in pairs if with_mass or not of_mass]
    ours = carried.distances_mm > 0
    whole: Mask = carried.distances_mm.max(0) > 0
    counted = ours[VALUES.index(MASS)] if of_mass else whole
    with_kidney = bool(ours[VALUES.index(KIDNEY)].any())
    volume_mm3 = max(int(np.count_nonzero(counted)), 1) * math.prod(carried.target.spacing_mm)
    return Evidence(
        of_mass=of_mass,
        information=min(found.information for found in counting),
        inverse_error_mm=max(found.inverse_error_mm for found in counting),
        coarseness=carried.coarsest_mm / float(np.cbrt(6 * volume_mm3 / math.pi)),
        agreement=dice(whole, _meeting(network.data != BACKGROUND, whole))
        if network is not None and with_kidney
        else None,
    )


def _undrawn(proposal: Volume, drawn: Collection[str]) -> NDArray[np.uint8]:
    """What the network alone says of the structures that the reader did not draw."""
    values = [row.value for row in STRUCTURES.values() if row.name not in drawn]
    return np.where(np.isin(proposal.data, values), proposal.data, 0).astype(np.uint8)


def _extra_masses(theirs: Mask, ours: Mask) -> int:
    return components(theirs & ~_meeting(theirs, ours))[1]


def _sentence(carried: Carried, evidence: Evidence, expected: float, extra: int) -> str:
    moved = ", ".join(f"{np.linalg.norm(found.shift_mm):.1f}" for found in carried.alignments)
    what = "masses" if evidence.of_mass else "kidneys"
    said = f"moved by {moved} mm; expected Dice of the {what} {expected:.2f}"
    if evidence.agreement is not None:
        said += f"; the network agrees to {evidence.agreement:.2f}"
    if carried.left_out:
        said += f"; {carried.left_out} of the label's regions not in the field of view"
    if extra:
        said += f"; the network sees {extra} more mass{'es' if extra > 1 else ''}, not taken over"
    return said
