"""From the slices of one series to stacks that are one volume each, or the sentence that says why not.

A converter that is handed two phases at once makes one volume of them, and one with a missing slice stretches the
others. So every series is checked here, by its headers alone, before anything is converted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lib.ingest.dicom_slices import ENHANCED_MR_IMAGE, MR_IMAGE, Slice

MIN_SLICES = 5
SAME_POSITION_MM = 0.05
SAME_DIRECTION = 0.02  # difference of a cosine: about one degree
_UNEVEN = 0.05  # tolerated deviation of a distance, as a share of the usual one
_MISSING = 1.5  # a distance of this many usual ones has lost a slice
_SHIFT_MM = 0.1  # tolerated sideways step between neighbours
_SAME_ECHO_MS = 0.05
_VECTOR, _DIRECTIONS = 3, 6
_LOCALISER_TYPE = "LOCALIZER"
# Words of ImageType that say a map or a picture was computed from other images.
DERIVED_TYPES = {
    "ADC": "ADC map", "EADC": "ADC map", "FA": "anisotropy map", "TRACEW": "diffusion trace", "T1 MAP": "T1 map",
    "T2 MAP": "T2 map", "T2_STAR MAP": "T2* map", "R2 MAP": "R2 map", "R2_STAR MAP": "R2* map", "B0 MAP": "field map",
    "B1 MAP": "field map", "FIELD_MAP": "field map", "FAT_FRACTION": "fat fraction", "PROJECTION IMAGE": "projection",
    "MIP": "projection", "MPR": "reformatted", "CSA MPR": "reformatted", "SUBTRACTION": "subtraction",
    "SUBTRACT": "subtraction", "PARAMETRIC MAP": "parametric map", "SCREEN SAVE": "screen capture",
}  # fmt: skip
_Key = Callable[[Slice], Hashable]
_PHASE_KEYS: dict[str, _Key] = {
    "TemporalPositionIdentifier": lambda one: one.phase.get("TemporalPositionIdentifier"),
    "AcquisitionNumber": lambda one: one.phase.get("AcquisitionNumber"),
    "TriggerTime": lambda one: one.phase.get("TriggerTime"),
    "AcquisitionTime": lambda one: one.phase.get("AcquisitionTime"),
    "EchoTime": lambda one: one.phase.get("EchoTime"),
    "ImageType": lambda one: one.image_type,
}
_CLOCKS = ("AcquisitionTime", "TriggerTime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Slices that make one volume.

    Attributes:
        slices: Along the slice normal.
        part: Which part of its series it is, e.g. ``TemporalPositionIdentifier=2.0``; empty when it is all of it.
        note: The same for a person, e.g. ``part 2 of 3 by TemporalPositionIdentifier``.
        problem: Why it must not be converted; empty when it can be.
    """

    slices: tuple[Slice, ...]
    part: str = ""
    note: str = ""
    problem: str = ""


def stacks_of(slices: Sequence[Slice]) -> list[Stack]:
    """Split a series into volumes, each checked."""
    if problem := kind_problem(slices) or _grid_problem(slices):
        return [Stack(slices=tuple(slices), problem=problem)]
    if len(set(_depth_numbers(slices))) < MIN_SLICES:
        found = len(set(_depth_numbers(slices)))
        problem = f"{found} slice position{'s' * (found != 1)}; expected at least {MIN_SLICES}"
        return [Stack(slices=tuple(slices), problem=problem)]
    parts = _parts(slices)
    if isinstance(parts, str):
        return [Stack(slices=tuple(slices), problem=parts)]
    fullest = max(len(part.slices) for part in parts)
    return [_checked(part, fullest, len(slices)) for part in parts]


def kind_problem(slices: Sequence[Slice]) -> str:
    """Why these are not images of a volume: another modality, a document, a localiser, a map."""
    first = slices[0]
    if first.sop_class not in (MR_IMAGE, ENHANCED_MR_IMAGE):
        kinds = {"1.2.840.10008.5.1.4.1.1.104.1": "a PDF document", "1.2.840.10008.5.1.4.1.1.7": "a screen capture"}
        modality = first.modality if first.modality.isalpha() and len(first.modality) <= 4 else "unknown"
        return f"{kinds.get(first.sop_class, f'modality {modality}')}; expected MR images"
    if any(one.modality != "MR" for one in slices):
        return "not every image says modality MR"
    directions = {direction for one in slices if (direction := _direction_key(one, slices))}
    localiser = any(_LOCALISER_TYPE in one.image_type for one in slices)
    if localiser or len(directions) > 1:
        return f"a localiser: {len(directions)} orientation{'s' * (len(directions) != 1)}"
    derived = {DERIVED_TYPES[word] for one in slices for word in one.image_type if word in DERIVED_TYPES}
    return f"derived: {', '.join(sorted(derived))}" if derived else ""


def _direction_key(one: Slice, slices: Sequence[Slice]) -> int | None:
    """Number of the first slice that has this orientation; None when the header says none."""
    if len(one.orientation_lps) != _DIRECTIONS:
        return None
    for number, other in enumerate(slices):
        if len(other.orientation_lps) == _DIRECTIONS and _same_direction(one, other):
            return number + 1
    return None


def _same_direction(one: Slice, other: Slice) -> bool:
    return bool(np.abs(np.subtract(one.orientation_lps, other.orientation_lps)).max() <= SAME_DIRECTION)


def _grid_problem(slices: Sequence[Slice]) -> str:
    placed = sum(len(one.position_lps) == _VECTOR and len(one.orientation_lps) == _DIRECTIONS for one in slices)
    if placed < len(slices):
        return f"{len(slices) - placed} of {len(slices)} images do not say where they lie"
    if any(len(one.size) != 2 or len(one.pixel_mm) != 2 or min(*one.size, *one.pixel_mm) <= 0 for one in slices):
        return "not every image states its size and pixel spacing"
    sizes = {(one.size, tuple(round(mm, 4) for mm in one.pixel_mm)) for one in slices}
    return f"images of {len(sizes)} sizes; expected one" if len(sizes) > 1 else ""


def depths_mm(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Position of each slice along the normal of the first."""
    cosines = np.array(slices[0].orientation_lps)
    normal = np.cross(cosines[:3], cosines[3:])
    depths: NDArray[np.float64] = np.array([one.position_lps for one in slices]) @ normal / np.linalg.norm(normal)
    return depths


def _depth_numbers(slices: Sequence[Slice]) -> list[int]:
    """Number of the position that each slice lies at, counted along the normal."""
    depths = depths_mm(slices)
    order = np.argsort(depths, kind="stable")
    steps = np.diff(depths[order]) > SAME_POSITION_MM
    numbers = np.empty(len(slices), int)
    numbers[order] = np.concatenate([[0], np.cumsum(steps)])
    return numbers.tolist()


def _parts(slices: Sequence[Slice]) -> list[Stack] | str:
    """One part a phase, or why the phases cannot be told apart."""
    numbers = dict(zip(map(id, slices), _depth_numbers(slices), strict=True))
    most = max(Counter(numbers.values()).values())
    temporal = {one.phase.get("TemporalPositionIdentifier") for one in slices}
    if most == 1 and len(temporal) == 1:
        return [Stack(slices=tuple(slices))] if _alike(slices) else "echo times or image types differ between slices"
    for count in (1, 2, 3):
        for names in combinations(_PHASE_KEYS, count):
            groups = _grouped(slices, names)
            if _each_is_one_volume(groups, numbers, most):
                return _named(groups, names)
    for clock in _CLOCKS:
        if chunks := _by_clock(slices, clock, numbers, most):
            return _named(chunks, (f"order of {clock}",))
    repeated = sum(count > 1 for count in Counter(numbers.values()).values())
    return f"{repeated} of {len(set(numbers.values()))} positions occur more than once, and no header tells why"


def _grouped(slices: Sequence[Slice], names: Sequence[str]) -> dict[Hashable, list[Slice]]:
    groups: dict[Hashable, list[Slice]] = {}
    for one in slices:
        groups.setdefault(tuple(_PHASE_KEYS[name](one) for name in names), []).append(one)
    return groups


def _each_is_one_volume(groups: dict[Hashable, list[Slice]], numbers: dict[int, int], most: int) -> bool:
    """Whether there are as many groups as images at one position, and none holds a position twice."""
    if len(groups) < 2 or (most > 1 and len(groups) != most):
        return False
    return all(_alike(group) and _unique(group, numbers) for group in groups.values())


def _unique(group: Sequence[Slice], numbers: dict[int, int]) -> bool:
    return len({numbers[id(one)] for one in group}) == len(group)


def _alike(group: Sequence[Slice]) -> bool:
    """Whether all images have one echo time and one image type."""
    echoes = [time for one in group if isinstance(time := one.phase.get("EchoTime"), float)]
    return len({one.image_type for one in group}) == 1 and (
        not echoes or max(echoes) - min(echoes) <= max(_SAME_ECHO_MS, 0.01 * max(echoes))
    )


def _by_clock(
    slices: Sequence[Slice], clock: str, numbers: dict[int, int], most: int
) -> dict[Hashable, list[Slice]] | None:
    """Cut a series in order of time, where every phase is over before the next begins."""
    positions = len(set(numbers.values()))
    if len(slices) != most * positions or any(clock not in one.phase for one in slices):
        return None
    ordered = sorted(slices, key=lambda one: one.phase[clock])
    chunks: dict[Hashable, list[Slice]] = {n + 1: ordered[n * positions : (n + 1) * positions] for n in range(most)}
    apart = all(chunks[n][-1].phase[clock] != chunks[n + 1][0].phase[clock] for n in range(1, most))
    return chunks if apart and all(_alike(one) and _unique(one, numbers) for one in chunks.values()) else None


def _named(groups: dict[Hashable, list[Slice]], names: Sequence[str]) -> list[Stack]:
    """Parts in order of acquisition, each with what tells it apart."""
    parts = []
    ordered = sorted(groups.items(), key=lambda item: (_start(item[1]), str(item[0])))
    for number, (value, group) in enumerate(ordered, start=1):
        note = f"part {number} of {len(groups)} by {' and '.join(names)}"
        parts.append(Stack(slices=tuple(group), part=f"{'+'.join(names)}={value}", note=note))
    return parts


def _start(group: Sequence[Slice]) -> tuple[str, float, float]:
    def least(name: str) -> float:
        return min((float(value) for one in group if isinstance(value := one.phase.get(name), float)), default=0.0)

    times = [str(one.phase.get("AcquisitionTime", "")) for one in group]
    return min(times), least("TemporalPositionIdentifier"), least("TriggerTime")


def _checked(stack: Stack, fullest: int, in_series: int) -> Stack:
    depths = depths_mm(stack.slices)
    order = np.argsort(depths, kind="stable")
    stack = replace(stack, slices=tuple(stack.slices[n] for n in order))
    problem = ""
    if len(stack.slices) < fullest:
        problem = f"{len(stack.slices)} slices where another part of the series has {fullest}: slices are missing"
    elif len({one.path for one in stack.slices}) < len(stack.slices) and in_series > len(stack.slices):
        problem = "several phases inside one multi-frame file; export it as single frames"
    return replace(stack, problem=problem or _spacing_problem(stack) or _count_problem(stack, in_series))


def _count_problem(stack: Stack, in_series: int) -> str:
    """Compare with the number of images that the header announces: of this volume, or of all phases together."""
    announced = max((one.announced or 0 for one in stack.slices), default=0)
    found = len(stack.slices)
    if announced <= found or announced == in_series or announced % found == 0:
        return ""
    return f"{in_series} slices where the header announces {announced}: slices are missing"


def _spacing_problem(stack: Stack) -> str:
    positions = np.array([one.position_lps for one in stack.slices])
    gaps = np.diff(depths_mm(stack.slices))
    if len(gaps) + 1 < MIN_SLICES:
        return f"{len(gaps) + 1} slices; expected at least {MIN_SLICES}"
    usual = float(np.median(gaps))
    if lost := int(np.rint(gaps[gaps > _MISSING * usual] / usual - 1).sum()):
        missing = "1 slice is missing" if lost == 1 else f"{lost} slices are missing"
        return f"{missing}: the distance of neighbours is {gaps.max():.2f} and else {usual:.2f} mm"
    if np.abs(gaps - usual).max() > _UNEVEN * usual:
        return f"uneven slice distances, {gaps.min():.2f} to {gaps.max():.2f} mm; expected one"
    steps = np.diff(positions, axis=0)
    sideways = np.linalg.norm(steps - steps.mean(axis=0), axis=1).max()
    if sideways > max(_SHIFT_MM, _UNEVEN * usual) or np.linalg.norm(steps.mean(axis=0)) > 1.01 * usual:
        return f"slices are shifted sideways against each other, by {sideways:.2f} mm"
    return ""
