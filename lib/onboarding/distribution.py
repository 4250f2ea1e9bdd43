"""What the networks were trained on, as a small file: per sequence the spread of every measure, and how images look.

``model/shipped/training_distribution.json`` comes with the weights; a retrain writes one of its own cases beside its
version (``<version>.distribution``, JSON). No image and no patient can be told from it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lib.domain.errors import BadRequestError
from lib.imaging.volume import write_bytes
from lib.onboarding.drift import Style, fit_style
from lib.onboarding.protocol import MEASURES, Measure

SHIPPED_DISTRIBUTION = "training_distribution.json"
VERSION_DISTRIBUTION = ".distribution"  # no version's record: those end in .json
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_FORMAT = 1
_DIGITS = 6
_SOME = 0.2  # share of images outside the training range that is worth a word
_NEAR = 0.01
FEWEST_FOR_STYLE = 20

Verdict = Literal["as trained", "at the edge", "outside"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was measured of one image.

    Attributes:
        measures: By name, as ``measure_protocol`` gives them.
        features: As the finder's layers give them; empty without a finder.
    """

    image_id: str
    patient_id: str
    sequence: str
    scanner: str
    measures: Mapping[str, float]
    features: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceDistribution:
    """The training images of one sequence.

    Attributes:
        scanners: Images by scanner.
        measures: At QUANTILES, by name of the measure.
        style: How images look; None with too few of them, or without a finder.
    """

    images: int
    scanners: Mapping[str, int]
    measures: Mapping[str, tuple[float, ...]]
    style: Style | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The training images of some sequences.

    Attributes:
        made_from: What a person calls them.
        finder: Version of the finder whose features were taken.
    """

    made_from: str
    finder: str
    sequences: Mapping[str, SequenceDistribution]


def describe(images: Sequence[Looked], *, made_from: str, finder: str) -> Distribution:
    """Summarise images that networks were trained on."""
    codes = sorted({image.sequence for image in images})
    return Distribution(
        made_from=made_from,
        finder=finder,
        sequences={code: _describe([image for image in images if image.sequence == code]) for code in codes},
    )


def _describe(images: Sequence[Looked]) -> SequenceDistribution:
    values = {name: [image.measures[name] for image in images if name in image.measures] for name in MEASURES}
    features = np.array([image.features for image in images if image.features])
    return SequenceDistribution(
        images=len(images),
        scanners=dict(sorted(Counter(image.scanner or "unknown" for image in images).items())),
        measures={
            name: tuple(_rounded(value) for value in np.quantile(found, QUANTILES))
            for name, found in values.items()
            if found
        },
        style=fit_style(features) if len(features) >= FEWEST_FOR_STYLE else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A measure of new images beside that of the training images.

    Attributes:
        images: New ones that have the measure.
        outside: How many of them lie outside the training images' 1st to 99th percentile.
        new: Smallest, median and largest of the new images.
        trained: 1st, 50th and 99th percentile of the training images.
    """

    measure: Measure
    images: int
    outside: int
    new: tuple[float, float, float]
    trained: tuple[float, float, float]
    verdict: Verdict


def differences(images: Sequence[Looked], known: SequenceDistribution) -> list[Difference]:
    """Compare the measures of one sequence's new images with the training images', in the order of MEASURES."""
    found = []
    for name, measure in MEASURES.items():
        values = np.array([image.measures[name] for image in images if name in image.measures])
        if values.size and name in known.measures:
            found.append(_difference(measure, values, known.measures[name]))
    return found


def _difference(
    measure: Measure, values: np.ndarray[Any, np.dtype[np.float64]], trained: Sequence[float]
) -> Difference:
    at = dict(zip(QUANTILES, trained, strict=True))
    inside = [_within(value, at[0.01], at[0.99]) for value in values]
    outside = inside.count(False)
    middle = float(np.median(values))
    verdict: Verdict = "as trained"
    if not _within(middle, at[0.01], at[0.99]):
        verdict = "outside"
    elif outside > _SOME * values.size or not _within(middle, at[0.05], at[0.95]):
        verdict = "at the edge"
    return Difference(
        measure=measure,
        images=values.size,
        outside=outside,
        new=(float(values.min()), middle, float(values.max())),
        trained=(at[0.01], at[0.5], at[0.99]),
        verdict=verdict,
    )


def _within(value: float, low: float, high: float) -> bool:
    """Whether a value lies between two, or a hundredth of them beyond: 2.98 T is 3 T."""
    return low - _NEAR * abs(low) <= value <= high + _NEAR * abs(high)


# ---- the file


def write_distribution(distribution: Distribution, path: Path) -> None:
    """Write the file by an atomic replace."""
    payload = {"format": _FORMAT, **asdict(distribution)}
    write_bytes((json.dumps(payload, allow_nan=False) + "\n").encode(), path)


def read_distribution(path: Path) -> Distribution:
    """Read a file.

    Raises:
        BadRequestError: When it is missing, or not such a file.
    """
    try:
        found = json.loads(path.read_bytes())
        if found["format"] != _FORMAT:
            msg = f"the training distribution has format {found['format']!r}; expected {_FORMAT}"
            raise BadRequestError(msg)
        return Distribution(
            made_from=str(found["made_from"]),
            finder=str(found["finder"]),
            sequences={code: _sequence(one) for code, one in found["sequences"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = (
            f"the training distribution cannot be read ({type(error).__name__}); make it with the command distribution"
        )
        raise BadRequestError(msg) from error


def _sequence(found: Mapping[str, Any]) -> SequenceDistribution:
    return SequenceDistribution(
        images=int(found["images"]),
        scanners={str(name): int(count) for name, count in found["scanners"].items()},
        measures={
            name: tuple(float(value) for value in values)
            for name, values in found["measures"].items()
            if len(values) == len(QUANTILES)
        },
        style=Style.from_json(found["style"]) if found["style"] else None,
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
