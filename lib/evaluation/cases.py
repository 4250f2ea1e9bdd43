"""Which files belong to a case, and how one is scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFiles:
    """Files of one scored image.

    Attributes:
        drawn: Structures that the reader drew.
        prediction: None when its absence counts as a prediction of nothing.
    """

    image_id: str
    image: Path
    reference: Path
    drawn: frozenset[str]
    prediction: Path | None
    compared: Path | None = None
