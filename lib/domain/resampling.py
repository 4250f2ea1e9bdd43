"""Patients drawn again: the one bootstrap, for the gate's bounds and the evaluation's intervals."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FEWEST_PATIENTS = 2  # one patient tells nothing about the spread


@lru_cache(maxsize=64)
def times_drawn(patients: int, draws: int, seed: int) -> NDArray[np.int64]:
    """How often each patient is in each resample, (draws, patients); the same numbers give the same resamples.

    Args:
        patients: How many there are, and are drawn each time.
        draws: Resamples.
        seed: Of the random numbers.
    """
    generator = np.random.default_rng([seed, patients])
    counts = generator.multinomial(patients, np.full(patients, 1 / patients), size=draws)
    counts.setflags(write=False)
    return counts
