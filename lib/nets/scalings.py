"""The note of a weight file that says how its probabilities are restated."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from lib.domain.errors import BadWeightsError
from lib.domain.structures import STRUCTURES
from lib.imaging.calibration import Scaling

MASS = "mass"
CALIBRATION = "calibration"
Scalings = Mapping[str, Scaling]


def scalings_note(scalings: Scalings) -> str:
    """Write scalings for a weight file's notes."""
    return json.dumps({name: [row.slope, row.shift] for name, row in scalings.items()})


def scalings_of(notes: Mapping[str, str]) -> dict[str, Scaling]:
    """Read the scalings of a weight file; none when it was never calibrated.

    Raises:
        BadWeightsError: When the note is not slope and shift by structure.
    """
    try:
        rows = json.loads(notes.get(CALIBRATION, "{}"))
        found = {str(name): Scaling(slope=float(slope), shift=float(shift)) for name, (slope, shift) in rows.items()}
        sound = all(
            name in STRUCTURES and row.slope > 0 and math.isfinite(row.slope + row.shift) for name, row in found.items()
        )
    except (ValueError, TypeError, AttributeError):
        sound = False
    if not sound:
        msg = "the weight file's calibration is not a positive slope and a shift per structure"
        raise BadWeightsError(msg)
    return found
