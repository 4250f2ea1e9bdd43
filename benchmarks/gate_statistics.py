"""Whether another statistic could tell worse challengers from better ones with fewer patients than the mean needs.

    python -m benchmarks.gate_statistics --rounds 3000

For each noise and effect of ``benchmarks.gate``: the share of challengers truly 0.03 better that each statistic lets
through at the threshold that 5 % of those truly 0.03 worse pass. That threshold is chosen knowing the truth, apart for each
row: no rule that has to work without it can do better, and one threshold for all rows does worse.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from benchmarks.gate import MECHANISMS, NOISE, Holdout, draw_holdout

WORSE, BETTER, PASSED = -0.03, 0.03, 0.05
PATIENTS = 40
Floats = NDArray[np.float64]


def mean(holdout: Holdout) -> float:
    """Student's t of the differences."""
    return _t(holdout.challenger - holdout.champion)


def trimmed(share: float) -> Callable[[Holdout], float]:
    """Yuen's t: the mean without the largest and smallest differences."""

    def of(holdout: Holdout) -> float:
        ranked = np.sort(holdout.challenger - holdout.champion)
        cut = int(share * len(ranked))
        spread = np.clip(ranked, ranked[cut], ranked[-cut - 1]).std(ddof=1) / ((1 - 2 * share) * np.sqrt(len(ranked)))
        return float(ranked[cut:-cut].mean() / max(spread, 1e-9))

    return of


def normal_scores(holdout: Holdout) -> float:
    """Student's t of the differences of normal scores: ranks among both models' DSC."""
    count = len(holdout.champion)
    ranks = rankdata(np.concatenate([holdout.challenger, holdout.champion]))
    scores = norm.ppf((ranks - 0.5) / (2 * count))
    return _t(scores[:count] - scores[count:])


def _t(differences: Floats) -> float:
    return float(differences.mean() / max(differences.std(ddof=1) / np.sqrt(len(differences)), 1e-9))


STATISTICS: dict[str, Callable[[Holdout], float]] = {
    "mean": mean,
    "10 % trimmed": trimmed(0.1),
    "20 % trimmed": trimmed(0.2),
    "normal scores": normal_scores,
}


def power(noise: str, mechanism: str, rounds: int, seed: int = 3) -> dict[str, float]:
    """Share of better challengers that each statistic lets through."""
    rng = np.random.default_rng(seed)
    found = {
        effect: [draw_holdout(rng, PATIENTS, NOISE[noise], MECHANISMS[mechanism](effect)) for _ in range(rounds)]
        for effect in (WORSE, BETTER)
    }
    shares = {}
    for name, statistic in STATISTICS.items():
        worse, better = (np.array([statistic(holdout) for holdout in found[effect]]) for effect in (WORSE, BETTER))
        shares[name] = float((better > np.quantile(worse, 1 - PASSED)).mean())
    return shares


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3000)
    given = options.parse_args()
    print("| noise | effect through | " + " | ".join(STATISTICS) + " |")
    print("|---|---|" + "---|" * len(STATISTICS))
    for noise in NOISE:
        for mechanism in ("outlines", "detection", "both"):
            shares = power(noise, mechanism, given.rounds)
            print(
                f"| {noise} | {mechanism} | " + " | ".join(f"{one:.1%}" for one in shares.values()) + " |", flush=True
            )


if __name__ == "__main__":
    main()
