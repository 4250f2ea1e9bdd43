"""Which side a patient is on, for ever: train, validation or holdout."""

from __future__ import annotations

import hashlib
from typing import Literal

Side = Literal["train", "validation", "holdout"]

DEFAULT_SALT = "renal-loop"
VALIDATION_SHARE = 0.15
HOLDOUT_SHARE = 0.15
_BUCKETS = 10_000


def side_of(patient_id: str, salt: str = DEFAULT_SALT) -> Side:
    """Return the side of a patient: the same in every sequence, however many labels arrive.

    Args:
        patient_id: A pseudonym.
        salt: Setting of the site; changing it redraws every patient, so it is set once.
    """
    digest = hashlib.sha256(f"{salt}\0{patient_id}".encode()).digest()
    share = int.from_bytes(digest[:8]) % _BUCKETS / _BUCKETS
    if share < HOLDOUT_SHARE:
        return "holdout"
    return "validation" if share < HOLDOUT_SHARE + VALIDATION_SHARE else "train"
