"""What a training run writes into its weight file about how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping

from lib.loop.trust import TRUST, trust_note, trust_of
from lib.loop.trust_fit import adjusted
from lib.nets.fit import FitResult
from lib.nets.scalings import CALIBRATION, scalings_note


def assessment_notes(result: FitResult, started_from: Mapping[str, str]) -> dict[str, str]:
    """Notes of a new weight file: its calibration, and its predecessor's judgement moved to what it does now.

    Args:
        result: Of the run.
        started_from: Notes of the weights it started from.

    Raises:
        BadWeightsError: When those notes cannot be read.
    """
    notes = {CALIBRATION: scalings_note(result.scalings)} if result.scalings else {}
    model = trust_of(started_from)
    if model is None:
        return notes
    return {**notes, TRUST: trust_note(adjusted(model, result.judged, result.judged_masses))}
