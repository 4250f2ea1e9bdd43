"""How foreign an image looks: the Mahalanobis distance of its finder features from those of the training images.

There are more features than training images, so that their covariance is that of probabilistic principal components:
a few directions with their own variance, and one variance for all the others (Tipping and Bishop, 1999). The score is
the distance over the one that 19 of 20 training images keep when they are left out of the fit: 1 is the limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COMPONENTS = 12
FOLDS = 5
LIMIT_SHARE = 0.95  # of the training images, left out of the fit, that have a score of 1 or less
_SMALLEST_SCALE = 1e-3
_DIGITS = 4

Features = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How the training images of one sequence look.

    Attributes:
        mean: Of each feature (n,).
        scale: Standard deviation of each feature (n,).
        directions: Principal ones of the scaled features, one a row (k, n).
        variances: Along them (k,).
        rest: Variance along every other direction.
        limit: Distance that 19 of 20 training images keep.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    directions: tuple[tuple[float, ...], ...]
    variances: tuple[float, ...]
    rest: float
    limit: float

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Style:
        """Read what ``dataclasses.asdict`` gave.

        Raises:
            KeyError: When an entry is missing.
            TypeError: When one is of another kind.
            ValueError: When one is no number.
        """
        return cls(
            mean=_floats(found["mean"]),
            scale=_floats(found["scale"]),
            directions=tuple(_floats(row) for row in found["directions"]),
            variances=_floats(found["variances"]),
            rest=float(found["rest"]),
            limit=float(found["limit"]),
        )


def fit_style(features: Features) -> Style:
    """Learn how images look.

    Args:
        features: One image a row (images, n); at least ten images.
    """
    fold = np.arange(len(features)) % FOLDS
    left_out = np.concatenate([_distances(_fit(features[fold != one]), features[fold == one]) for one in range(FOLDS)])
    return _fit(features, limit=float(np.quantile(left_out, LIMIT_SHARE)))


def drift_score(style: Style, features: Sequence[float]) -> float:
    """How foreign an image looks: up to 1 as the training images do.

    Raises:
        ValueError: When the features are not those of the style.
    """
    if len(features) != len(style.mean):
        msg = f"{len(features)} features; the training images have {len(style.mean)}: another finder made them"
        raise ValueError(msg)
    return float(_distances(style, np.asarray(features, dtype=float)[None])[0]) / style.limit


def _fit(features: Features, limit: float = 1.0) -> Style:
    mean, scale = features.mean(0), np.maximum(features.std(0), _SMALLEST_SCALE)
    scaled = (features - mean) / scale
    count, width = scaled.shape
    kept = min(COMPONENTS, count // 3)
    _, singular, directions = np.linalg.svd(scaled, full_matrices=False)
    variances = singular**2 / max(1, count - 1)
    rest = float(variances[kept:].sum()) / max(1, width - kept) * count / max(1, count - kept)
    return Style(
        mean=_rounded(mean),
        scale=_rounded(scale),
        directions=tuple(_rounded(row) for row in directions[:kept]),
        variances=_rounded(variances[:kept]),
        rest=max(rest, _SMALLEST_SCALE),
        limit=max(limit, _SMALLEST_SCALE),
    )


def _distances(style: Style, features: Features) -> Features:
    scaled = (features - np.array(style.mean)) / np.array(style.scale)
    along = scaled @ np.array(style.directions).T
    beside = np.maximum((scaled**2).sum(1) - (along**2).sum(1), 0)
    spread = np.maximum(np.array(style.variances), style.rest)
    squared: Features = ((along**2 / spread).sum(1) + beside / style.rest) / scaled.shape[1]
    return np.sqrt(squared)


def _rounded(values: Features) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)


def _floats(found: Sequence[Any]) -> tuple[float, ...]:
    values = tuple(float(value) for value in found)
    if not all(map(math.isfinite, values)):
        msg = "a number of the training distribution is not finite"
        raise ValueError(msg)
    return values
