"""The working grid: every image is brought onto it the same way for training and for prediction, and back.

Resampling is separable, so along each axis it is one small matrix; the fields of view of both grids stay centred on
each other, as in ``lib.imaging.geometry.resample``. Going to coarser voxels averages (a triangle as wide as the coarse
voxel), which linear interpolation at points would alias.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from lib.domain.errors import BadImageError
from lib.imaging.geometry import resampled_shape
from lib.imaging.volume import Volume

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]
Box = tuple[slice, slice, slice]

AIR = -2.0  # z-score outside every image: what padding is filled with
_SAME_SPACING = 1e-3  # relative difference below which two spacings are one
_BODY_FRACTION = 0.12  # of the bright end of the histogram: below is air
_BODY_SHARE = 0.02  # of a slice's voxels that must be body for the slice to be kept
_MARGIN_MM = 12.0
_CLIP = (0.005, 0.995)
_QUANTILE_VOXELS = 400_000
_CHUNK_VOXELS = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingImage:
    """An image on the working grid, cropped to the body.

    Attributes:
        image: Normalised intensities (X, Y, Z), float32.
        box: Where it lies on the whole working grid.
        shape: Of the whole working grid.
    """

    image: Tensor
    box: Box
    shape: Shape


def axis_weights(n_in: int, mm_in: float, n_out: int, mm_out: float) -> Tensor:
    """Resampling along one axis as a matrix (n_out, n_in) whose rows sum to one; the same axis gives exactly eye."""
    step = mm_out / mm_in
    if n_in == n_out and abs(step - 1) < _SAME_SPACING:
        return torch.eye(n_in)
    places = (torch.arange(n_out, dtype=torch.float64) - (n_out - 1) / 2) * step + (n_in - 1) / 2
    distances = (places.clamp(0, n_in - 1)[:, None] - torch.arange(n_in, dtype=torch.float64)).abs()
    weights = (1 - distances / max(1.0, step)).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).float()


def resample(image: Tensor, weights: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Apply one matrix per axis to an image (..., X, Y, Z); smallest result first keeps it cheap."""
    x, y, z = weights
    image = image @ z.T
    image = y @ image
    return torch.einsum("ax,...xyz->...ayz", x, image)


def grid_weights(shape: Shape, spacing_mm: Spacing, shape_out: Shape, spacing_out: Spacing) -> tuple[Tensor, ...]:
    """One resampling matrix per axis."""
    rows = zip(shape, spacing_mm, shape_out, spacing_out, strict=True)
    return tuple(axis_weights(*row) for row in rows)


def to_working(canonical: Volume, spacing_mm: Spacing) -> WorkingImage:
    """Resample, crop to the body and normalise an image that is already in canonical orientation.

    Raises:
        BadImageError: When an intensity is not finite.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(canonical.data, dtype=np.float32))
    if not torch.isfinite(pixels).all():
        msg = "the image holds intensities that are not finite numbers"
        raise BadImageError(msg)
    shape = resampled_shape(canonical.shape, canonical.spacing_mm, spacing_mm)
    x, y, z = grid_weights(canonical.shape, canonical.spacing_mm, shape, spacing_mm)
    whole = resample(pixels, (x, y, z))
    box = body_box(whole, spacing_mm)
    return WorkingImage(image=normalise(whole[box]), box=box, shape=shape)


def label_to_working(canonical: Volume, spacing_mm: Spacing, values: tuple[int, ...], box: Box | None = None) -> Tensor:
    """Resample a label: each voxel gets the class that fills most of it.

    Args:
        canonical: Label in canonical orientation.
        spacing_mm: Working voxel edge lengths.
        values: Label value of class 1, 2 ...; any other value is class 0.
        box: Of the working grid; only this part is made.

    Returns:
        Classes on the working grid, or on the box, uint8 (X, Y, Z).
    """
    shape = resampled_shape(canonical.shape, canonical.spacing_mm, spacing_mm)
    whole = grid_weights(canonical.shape, canonical.spacing_mm, shape, spacing_mm)
    parts = [weights[span] for weights, span in zip(whole, box or (slice(None),) * len(whole), strict=True)]
    columns = tuple(_used_rows(part.T) for part in parts)
    found = torch.from_numpy(np.ascontiguousarray(canonical.data[columns]))
    x, y, z = (part[:, column] for part, column in zip(parts, columns, strict=True))
    shares = torch.stack([resample((found == value).float(), (x, y, z)) for value in values])
    return _winners(shares)


def from_working(
    probabilities: Tensor, working: WorkingImage, canonical: Volume, spacing_mm: Spacing
) -> tuple[Tensor, Tensor]:
    """Bring class probabilities back onto the canonical image grid and take the winner.

    Only the part of the grid where some structure can win is resampled, a few slices at a time.

    Args:
        probabilities: (classes, X, Y, Z) on the cropped working grid; class 0 is background.
        working: The crop.
        canonical: The image in canonical orientation.
        spacing_mm: Working voxel edge lengths.

    Returns:
        Classes on the canonical image grid, uint8 (I, J, K), and how probable each winning structure is, float16,
        0 where background won.
    """
    classes = torch.zeros(canonical.shape, dtype=torch.uint8)
    certainty = torch.zeros(canonical.shape, dtype=torch.float16)
    box = _winnable(probabilities)
    if box is None:
        return classes, certainty
    structures = probabilities[1:, *box].float()
    whole = grid_weights(working.shape, spacing_mm, canonical.shape, canonical.spacing_mm)
    columns = [slice(c.start + b.start, c.start + b.stop) for c, b in zip(working.box, box, strict=True)]
    parts = [weights[:, column] for weights, column in zip(whole, columns, strict=True)]
    rows = [_used_rows(part) for part in parts]
    x, y, z = (part[row] for part, row in zip(parts, rows, strict=True))
    slab = max(1, _CHUNK_VOXELS // (len(structures) * len(x) * len(y)))
    for start in range(0, len(z), slab):
        shares = resample(structures, (x, y, z[start : start + slab]))
        depth = slice(rows[2].start + start, rows[2].start + start + shares.shape[-1])
        winners = _winners(shares)
        classes[rows[0], rows[1], depth] = winners
        certainty[rows[0], rows[1], depth] = torch.where(winners > 0, shares.amax(0), 0).half()
    return classes, certainty


def _winners(shares: Tensor) -> Tensor:
    """Winning class of structures' shares (structures, X, Y, Z); what is left over is background, which wins ties."""
    best, index = shares.max(0)
    return torch.where(best > 1 - shares.sum(0), index + 1, 0).to(torch.uint8)


def _winnable(probabilities: Tensor) -> Box | None:
    """Box around every voxel from which some structure could win after linear interpolation."""
    possible = (probabilities[1:] >= 1 / len(probabilities)).any(0)
    return mask_box(possible, margins=(1, 1, 1))


def mask_box(mask: Tensor, margins: Shape) -> Box | None:
    """Bounding box of a mask, grown by margins within its grid; None when the mask is empty."""
    if not mask.any():
        return None
    i = _span(mask.any(2).any(1), margins[0])
    j = _span(mask.any(2).any(0), margins[1])
    k = _span(mask.any(1).any(0), margins[2])
    return i, j, k


def _span(hits: Tensor, margin: int) -> slice:
    where = hits.nonzero()
    return slice(max(0, int(where[0]) - margin), min(len(hits), int(where[-1]) + 1 + margin))


def _used_rows(part: Tensor) -> slice:
    return _span(part.sum(1) > 0, 0)


def box_onto(box: Box, shape: Shape, spacing_mm: Spacing, shape_out: Shape, spacing_out: Spacing) -> Box:
    """The same box on a grid whose field of view has the same centre."""
    spans = []
    for span, n, edge, n_out, edge_out in zip(box, shape, spacing_mm, shape_out, spacing_out, strict=True):
        low, high = ((limit - n / 2) * edge / edge_out + n_out / 2 for limit in (span.start, span.stop))
        spans.append(slice(max(0, math.floor(low)), min(n_out, math.ceil(high))))
    return spans[0], spans[1], spans[2]


def body_box(image: Tensor, spacing_mm: Spacing) -> Box:
    """Find the box that holds the body with a margin of 12 mm; the whole image when nothing stands out."""
    body = _body(image)
    whole: Box = tuple(slice(0, n) for n in image.shape)  # type: ignore[assignment]
    spans = []
    for axis, edge_mm in enumerate(spacing_mm):
        others = [other for other in range(image.ndim) if other != axis]
        hits = body.float().mean(others) > _BODY_SHARE
        if not hits.any():
            return whole
        spans.append(_span(hits, round(_MARGIN_MM / edge_mm)))
    return spans[0], spans[1], spans[2]


def _body(image: Tensor) -> Tensor:
    dark, bright = _quantiles(image.flatten(), (0.01, 0.98))
    return image > dark + _BODY_FRACTION * (bright - dark)


def _quantiles(values: Tensor, at: tuple[float, float]) -> tuple[float, float]:
    some = values[:: max(1, values.numel() // _QUANTILE_VOXELS)]
    low, high = torch.quantile(some, torch.tensor(at)).tolist()
    return low, high


def normalise(image: Tensor) -> Tensor:
    """Clip to the body's 0.5-99.5 percentiles, then subtract its mean and divide by its standard deviation."""
    body = image[_body(image)]
    if not body.numel():
        return torch.zeros_like(image)
    low, high = _quantiles(body, _CLIP)
    inside = body.clamp(low, high)
    spread = max(float(inside.std(correction=0)), 1e-6 * max(abs(low), abs(high)), 1e-20)
    return (image.clamp(max=high) - inside.mean()) / spread


def pad_to(image: Tensor, shape: Shape, value: float = AIR) -> Tensor:
    """Pad the end of each axis of an image (..., X, Y, Z) up to a shape."""
    missing = [max(0, wanted - n) for n, wanted in zip(image.shape[-3:], shape, strict=True)]
    padding = [amount for more in reversed(missing) for amount in (0, more)]
    return torch.nn.functional.pad(image, padding, value=value)


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """First voxels of windows that cover an axis, evenly placed, sharing at least ``overlap`` of their length."""
    if length <= window:
        return [0]
    count = int(np.ceil((length - window) / (window * (1 - overlap)))) + 1
    starts = [round(index * (length - window) / (count - 1)) for index in range(count)]
    return [starts[0], *(after for before, after in pairwise(starts) if after > before)]
