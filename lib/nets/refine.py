"""Refinement: an image, its label and clicks in; the corrected label out, on the image's own voxels.

Only a box around the clicks is shown to the network, and only what lies at a click is taken over
(``lib.imaging.edits``); clicks far from each other get boxes of their own, one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lib.domain.clicks import Click
from lib.domain.structures import STRUCTURES
from lib.imaging.edits import held, taken_over
from lib.imaging.geometry import from_canonical, to_canonical
from lib.imaging.volume import Grid, Volume
from lib.nets.clicks import around, encode
from lib.nets.grids import AIR, Box, WorkingImage, box_onto, from_working, label_to_working, to_working
from lib.nets.networks import LoadedWeights
from lib.nets.predict import label_values
from lib.nets.runtime import load_runner

_TOGETHER_MM = 12.0  # clicks so near to the first share its box
_HELD_MM = 2.5  # around a click, the network's answer has to say what the click says


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClickImage:
    """An image made ready for clicks; kept between them.

    Attributes:
        grid: The image's own.
        canonical: Its grid in canonical orientation.
        working: Normalised intensities on the whole working grid, air outside of the body.
    """

    grid: Grid
    canonical: Grid
    working: Tensor


class ClickRefiner:
    """A trained click network; one image at a time, so that memory is bounded."""

    def __init__(self, weights: LoadedWeights, device: str = "auto") -> None:
        """Build the network on its device.

        Raises:
            BadWeightsError: When the state does not fit its plan.
        """
        self.plan = weights.plan
        self._network = load_runner(weights, device)
        self._lock = Lock()

    def ready(self, image: Volume) -> ClickImage:
        """Bring an image onto the working grid.

        Raises:
            BadImageError: When the image holds intensities that are not finite.
        """
        canonical = to_canonical(image)
        working = to_working(canonical, self.plan.spacing_mm)
        whole = torch.full(working.shape, AIR)
        whole[working.box] = working.image
        return ClickImage(
            grid=Grid(shape=image.shape, affine=image.affine),
            canonical=Grid(shape=canonical.shape, affine=canonical.affine),
            working=whole,
        )

    def __call__(self, image: ClickImage, label: NDArray[np.uint8], clicks: Sequence[Click]) -> NDArray[np.uint8]:
        """Correct a label.

        Args:
            image: As ``ready`` makes it.
            label: Values of the structure table, on the image's grid.
            clicks: Whole voxels of the image, without contradictions.

        Returns:
            The label on the image's grid; the same values where nothing changed.
        """
        turned = to_canonical(Volume(data=label, affine=image.grid.affine))
        placed = _turned(clicks, image)
        data = turned.data.astype(np.uint8)
        with self._lock:
            for group in _groups(placed, turned.spacing_mm):
                data = self._refined(image, Volume(data=data, affine=turned.affine), group, placed)
        data = held(data, placed)
        return from_canonical(data, Volume(data=label, affine=image.grid.affine))

    @torch.inference_mode()
    def _refined(
        self, image: ClickImage, label: Volume, group: Sequence[Click], clicks: Sequence[Click]
    ) -> NDArray[np.uint8]:
        """The label after one look at the box around a group of clicks."""
        plan, shape = self.plan, _shape(image.working)
        at_work = [_on_working(click, label, shape, plan.spacing_mm) for click in clicks]
        members = [_on_working(click, label, shape, plan.spacing_mm).at for click in group]
        centre = [round((min(along) + max(along)) / 2) for along in zip(*members, strict=True)]
        first = [middle - n // 2 for middle, n in zip(centre, plan.window, strict=True)]
        box = _box(first, plan.window, shape)
        values = tuple(STRUCTURES[name].value for name in plan.structures)
        classes = label_to_working(label, plan.spacing_mm, values, box)
        inside = tuple(slice(span.start - start, span.stop - start) for span, start in zip(box, first, strict=True))
        shown = torch.zeros(plan.window, dtype=torch.uint8)
        shown[inside] = classes
        local = [replace(click, at=_less(click.at, first)) for click in at_work]
        given = encode(around(image.working, centre, plan.window, AIR), shown, local, plan)
        probabilities = torch.softmax(self._network(given[None])[0], 0).cpu()
        probabilities = agreeing(probabilities, local, plan.structures, plan.spacing_mm)[:, *inside]
        return self._answered(image, label, probabilities, box, clicks)

    def _answered(
        self, image: ClickImage, label: Volume, probabilities: Tensor, box: Box, clicks: Sequence[Click]
    ) -> NDArray[np.uint8]:
        """Take over what the network says of a box of the working grid."""
        shape = _shape(image.working)
        working = WorkingImage(image=image.working, box=box, shape=shape)
        found, _ = from_working(probabilities, working, label, self.plan.spacing_mm)
        inner = tuple(  # the answer fades at a face of the box, unless the image ends there
            slice(span.start + 2 * (span.start > 0), span.stop - 2 * (span.stop < n))
            for span, n in zip(box, shape, strict=True)
        )
        where = box_onto((inner[0], inner[1], inner[2]), shape, self.plan.spacing_mm, label.shape, label.spacing_mm)
        corner = [span.start for span in where]
        local = [replace(click, at=_less(click.at, corner)) for click in clicks if _within(click, where)]
        data: NDArray[np.uint8] = label.data.astype(np.uint8)
        answer = label_values(self.plan)[found[where].numpy()]
        data[where] = taken_over(data[where], answer, local, label.spacing_mm)
        return data


def agreeing(
    probabilities: Tensor, clicks: Sequence[Click], structures: Sequence[str], spacing_mm: tuple[float, float, float]
) -> Tensor:
    """Let the answer agree with every click close around it: certain where it is for, the runner-up where against.

    Args:
        probabilities: (classes, X, Y, Z).
        clicks: Voxels of that box; those outside of it are passed over.
        structures: Names of the classes 1..N.
        spacing_mm: Voxel edge lengths.
    """
    result = probabilities.clone()
    for click in sorted(clicks, key=lambda one: one.inside):
        spans = [
            slice(max(0, math.ceil(at - _HELD_MM / edge - 1)), max(0, math.floor(at + _HELD_MM / edge + 1) + 1))
            for at, edge in zip(click.at, spacing_mm, strict=True)
        ]
        index = 1 + list(structures).index(click.structure)
        spot = result[:, *spans]
        if click.inside:
            spot.zero_()
            spot[index] = 1
        else:
            spot[index] = 0
            spot[0] += spot.sum(0) == 0
            spot /= spot.sum(0, keepdim=True)
    return result


def _turned(clicks: Sequence[Click], image: ClickImage) -> list[Click]:
    """The same clicks on the canonical grid."""
    turn = np.linalg.inv(image.canonical.affine) @ image.grid.affine
    found = []
    for click in clicks:
        i, j, k = np.rint(turn[:3, :3] @ click.at + turn[:3, 3]).tolist()
        found.append(replace(click, at=(i, j, k)))
    return found


def _groups(clicks: Sequence[Click], spacing_mm: tuple[float, float, float]) -> list[list[Click]]:
    """Clicks that share a box: each with the first one that is near enough, in the order of the reader."""
    groups: list[list[Click]] = []
    for click in clicks:
        near = (group for group in groups if _apart_mm(group[0], click, spacing_mm) <= _TOGETHER_MM)
        group = next(near, None)
        if group is None:
            groups.append([click])
        else:
            group.append(click)
    return groups


def _apart_mm(one: Click, other: Click, spacing_mm: tuple[float, float, float]) -> float:
    return math.dist(np.multiply(one.at, spacing_mm), np.multiply(other.at, spacing_mm))


def _on_working(
    click: Click, canonical: Volume, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> Click:
    """A click of the canonical grid on the working grid; both have one centre."""
    x, y, z = (
        (at - (n - 1) / 2) * edge / edge_out + (n_out - 1) / 2
        for at, n, edge, n_out, edge_out in zip(
            click.at, canonical.shape, canonical.spacing_mm, shape, spacing_mm, strict=True
        )
    )
    return replace(click, at=(x, y, z))


def _box(first: Sequence[int], window: Sequence[int], shape: Sequence[int]) -> Box:
    """The part of a window that lies on the grid."""
    x, y, z = (slice(max(0, at), min(limit, at + n)) for at, n, limit in zip(first, window, shape, strict=True))
    return x, y, z


def _shape(image: Tensor) -> tuple[int, int, int]:
    x, y, z = image.shape
    return x, y, z


def _less(at: Sequence[float], corner: Sequence[int]) -> tuple[float, float, float]:
    x, y, z = (place - start for place, start in zip(at, corner, strict=True))
    return x, y, z


def _within(click: Click, box: Sequence[slice]) -> bool:
    return all(span.start <= at < span.stop for at, span in zip(click.at, box, strict=True))
