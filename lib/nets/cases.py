"""Training cases in memory: read once, kept on the working grid, cut into patches that show what matters."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lib.domain.errors import NotEnoughLabelsError
from lib.domain.records import LabelledImage
from lib.domain.structures import STRUCTURES
from lib.imaging.geometry import check_same_grid, to_canonical
from lib.imaging.volume import read_label, read_volume
from lib.nets.augment import margin
from lib.nets.grids import AIR, label_to_working, to_working
from lib.nets.networks import Plan

logger = logging.getLogger(__name__)

_FOCUS: Mapping[str, float] = {"mass": 0.5, "kidney": 0.25, "cyst": 0.15}  # share of patches; the rest is anywhere
_DEVICE_SHARE = 0.5  # of a GPU's free memory that cases may take; the rest is for training
_PLACES = 4000  # voxels remembered per structure and case


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadyCase:
    """A case on the working grid.

    Attributes:
        image: Normalised intensities (X, Y, Z), float16.
        label: Classes of the plan (X, Y, Z), uint8.
        drawn: Structures that the reader drew.
        places: Some voxels (n, 3) of each drawn structure that is present.
        weight: How often it is looked at, relative to the other cases.
    """

    image: Tensor
    label: Tensor
    drawn: frozenset[str]
    places: Mapping[str, Tensor]
    weight: float = 1.0


def read_cases(cases: Sequence[LabelledImage], plan: Plan, *, readers: int = 2) -> list[ReadyCase]:
    """Read cases in parallel, in order; a case in which none of the plan's structures was drawn is left out.

    So is one whose weight is 0.

    Raises:
        BadImageError: When an image or label cannot be read.
        GeometryError: When a label is not on its image's grid.
        BadLabelError: When a label holds values outside the table.
        NotEnoughLabelsError: When nothing is left.
    """
    useful = [case for case in cases if case.drawn & set(plan.structures) and case.weight > 0]
    if not useful:
        msg = f"none of {len(cases)} cases has a drawn {' or '.join(plan.structures)}; expected at least one"
        raise NotEnoughLabelsError(msg)
    with ThreadPoolExecutor(readers) as pool:
        return list(pool.map(lambda case: _read_case(case, plan), useful))


def _read_case(case: LabelledImage, plan: Plan) -> ReadyCase:
    image, label = read_volume(case.image), read_label(case.label)
    check_same_grid(label, image)
    working = to_working(to_canonical(image), plan.spacing_mm)
    values = tuple(STRUCTURES[name].value for name in plan.structures)
    classes = label_to_working(to_canonical(label), plan.spacing_mm, values)[working.box].contiguous()
    return ReadyCase(
        image=working.image.half().contiguous(),
        label=classes,
        drawn=case.drawn,
        places=_places(classes, case.drawn, plan),
        weight=case.weight,
    )


def _places(classes: Tensor, drawn: frozenset[str], plan: Plan) -> dict[str, Tensor]:
    found = {}
    for index, name in enumerate(plan.structures, start=1):
        voxels = (classes == index).nonzero()
        if name in drawn and len(voxels):
            found[name] = voxels[:: math.ceil(len(voxels) / _PLACES)].short()
    return found


def placed(cases: Sequence[ReadyCase], device: torch.device) -> list[ReadyCase]:
    """Move cases to the GPU that trains, where they fit beside the training; else pin them, to be streamed from."""
    if device.type != "cuda":
        return list(cases)
    needed = sum(tensor.nbytes for case in cases for tensor in (case.image, case.label))
    free, _ = torch.cuda.mem_get_info(device)
    resident = needed <= _DEVICE_SHARE * free
    how = "stay on the device" if resident else "are streamed from pinned memory"
    logger.info("%d cases (%.1f GB; the device has %.1f GB free) %s", len(cases), needed / 1e9, free / 1e9, how)
    move = (lambda tensor: tensor.to(device)) if resident else Tensor.pin_memory
    return [replace(case, image=move(case.image), label=move(case.label)) for case in cases]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Cut patches, larger than the plan's by ``augment.margin``; where the cases are, pinned if they are.

    Attributes:
        image: (B, 1, X, Y, Z), float32.
        label: (B, 1, X, Y, Z), uint8.
        drawn: Structures drawn, per case.
    """

    image: Tensor
    label: Tensor
    drawn: tuple[frozenset[str], ...]


def cut_batch(cases: Sequence[ReadyCase], plan: Plan, size: int, generator: torch.Generator) -> Batch:
    """Draw patches: centred on a mass, kidney or cyst for fixed shares, else anywhere in the body."""
    chosen = [_draw(cases, generator) for _ in range(size)]
    shape = margin(plan.patch)
    where: dict[str, Any] = {"device": cases[0].image.device, "pin_memory": cases[0].image.is_pinned()}
    image = torch.full((size, 1, *shape), AIR, dtype=torch.float32, **where)
    label = torch.zeros((size, 1, *shape), dtype=torch.uint8, **where)
    for index, (case, centre) in enumerate(chosen):
        cut_into(case.image, centre, image[index, 0])
        cut_into(case.label, centre, label[index, 0])
    return Batch(image=image, label=label, drawn=tuple(case.drawn for case, _ in chosen))


def _draw(cases: Sequence[ReadyCase], generator: torch.Generator) -> tuple[ReadyCase, list[int]]:
    """Pick a case and the centre of its patch; a structure that no case shows leaves its share to the next one."""
    left = float(torch.rand((), generator=generator))
    for name, share in _FOCUS.items():
        having = [case for case in cases if name in case.places]
        if left < share and having:
            case = _pick(having, generator)
            voxels = case.places[name]
            return case, voxels[_below(len(voxels), generator)].tolist()
        left -= share
    case = _pick(cases, generator)
    return case, [_below(n, generator) for n in case.image.shape]


def _pick(cases: Sequence[ReadyCase], generator: torch.Generator) -> ReadyCase:
    """Draw one case by the weights."""
    if all(case.weight == cases[0].weight for case in cases):
        return cases[_below(len(cases), generator)]
    upto = torch.tensor([case.weight for case in cases], dtype=torch.float64).cumsum(0)
    place = torch.rand((), generator=generator, dtype=torch.float64) * upto[-1]
    return cases[min(int(torch.searchsorted(upto, place, right=True)), len(cases) - 1)]


def _below(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def cut_into(source: Tensor, centre: Sequence[int], box: Tensor) -> None:
    """Fill a box with what lies around a voxel; beyond the source it stays as it is."""
    first = [middle - n // 2 for middle, n in zip(centre, box.shape, strict=True)]
    spans = list(zip(first, box.shape, source.shape, strict=True))
    inside = tuple(slice(max(0, start), min(limit, start + n)) for start, n, limit in spans)
    onto = tuple(slice(cut.start - start, cut.stop - start) for cut, start in zip(inside, first, strict=True))
    box[onto] = source[inside]
