"""How often the gate promotes challengers whose true effect is known: simulated holdouts, the rule itself.

    python -m benchmarks.gate --rounds 1000 --json gate.json

Every patient has one mass. How hard a patient is, is shared by both models; the rest is each model's own luck. The two
together are a rank in a distribution of mass DSC with a point at zero (missed) and a beta distribution (found). A true
effect moves the mean mass DSC by that much: through outlines, through detection, through half of each, or unevenly
(through outlines, and on top 0.10 less on scanners other than GE, made up for on GE). docs/gate.md says where the
figures come from.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import betainc, ndtr

from lib.domain.records import CaseScore
from lib.registry.promotion import DEFAULT_RULE, GateRule, decide

EFFECTS = (-0.03, 0.0, 0.03)
VENDORS = {"GE": 0.70, "Siemens": 0.12, "Philips": 0.09, "Canon": 0.04, "UIH": 0.05}  # of the phantoms' centres
OTHER_VENDORS_HARDER = 0.3  # standard deviations of difficulty
SMALL_HARDER = 0.5
SMALL_SHARE = 0.25
_STEPS = np.linspace(0, 1, 2001)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What both models' scores look like when neither is better.

    Attributes:
        missed: Share of masses with a DSC of zero.
        mean: Mean DSC of the others.
        spread: Their standard deviation.
        shared: Share of the variance of a patient's rank that both models share.
    """

    missed: float
    mean: float
    spread: float
    shared: float


NOISE = {
    "phantom, correlation 0.7": Noise(missed=0.13, mean=0.66, spread=0.17, shared=0.74),
    "phantom, correlation 0.8": Noise(missed=0.13, mean=0.66, spread=0.17, shared=0.84),
    "phantom, correlation 0.88": Noise(missed=0.13, mean=0.66, spread=0.17, shared=0.915),
    "fewer missed, correlation 0.8": Noise(missed=0.05, mean=0.80, spread=0.13, shared=0.865),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How a challenger differs from the champion, in mean mass DSC.

    Attributes:
        outline: Through the DSC of the masses that are found.
        detection: Through the share of masses that are found.
        uneven: Through outlines: what patients of vendors other than GE lose, and those of GE win in sum.
    """

    outline: float = 0.0
    detection: float = 0.0
    uneven: float = 0.0


MECHANISMS: dict[str, Callable[[float], Effect]] = {
    "outlines": lambda size: Effect(outline=size),
    "detection": lambda size: Effect(detection=size),
    "both": lambda size: Effect(outline=size / 2, detection=size / 2),
    "outlines, uneven": lambda size: Effect(outline=size, uneven=0.10),
}


def mass_dsc(
    rank: NDArray[np.float64], noise: Noise, outline: float = 0.0, detection: float = 0.0
) -> NDArray[np.float64]:
    """Mass DSC at a rank of 0 (worst) to 1, under the distribution that an effect leads to."""
    missed = noise.missed - detection / noise.mean
    mean = noise.mean + outline / (1 - missed)
    found = np.interp(np.clip((rank - missed) / (1 - missed), 0, 1), _beta_shares(mean, noise.spread), _STEPS)
    return np.where(rank < missed, 0.0, found)


@lru_cache
def _beta_shares(mean: float, spread: float) -> NDArray[np.float64]:
    """Cumulative beta distribution of this mean and standard deviation."""
    strength = mean * (1 - mean) / spread**2 - 1
    shares: NDArray[np.float64] = betainc(mean * strength, (1 - mean) * strength, _STEPS)
    return shares


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Holdout:
    """Simulated patients and both models' mass DSC on them."""

    vendors: NDArray[np.str_]
    sizes_mm: NDArray[np.float64]
    champion: NDArray[np.float64]
    challenger: NDArray[np.float64]


def draw_holdout(rng: Generator, patients: int, noise: Noise, effect: Effect) -> Holdout:
    """Draw patients, and both models' scores on them."""
    vendors = rng.choice(list(VENDORS), p=list(VENDORS.values()), size=patients)
    small = rng.random(patients) < SMALL_SHARE
    sizes_mm = np.where(small, rng.uniform(8, 20, patients), rng.uniform(20.1, 40, patients))
    offset = -OTHER_VENDORS_HARDER * ((vendors != "GE") - 0.3) - SMALL_HARDER * (small - SMALL_SHARE)
    patient = np.sqrt(noise.shared) * rng.standard_normal(patients)
    luck = np.sqrt(1 - noise.shared) * rng.standard_normal((2, patients))
    champion, challenger = ndtr(patient + offset + luck)
    ge = mass_dsc(
        challenger, noise, effect.outline + effect.uneven * (1 - VENDORS["GE"]) / VENDORS["GE"], effect.detection
    )
    others = mass_dsc(challenger, noise, effect.outline - effect.uneven, effect.detection)
    return Holdout(
        vendors=vendors,
        sizes_mm=sizes_mm,
        champion=mass_dsc(champion, noise),
        challenger=np.where(vendors == "GE", ge, others),
    )


def as_scores(rng: Generator, holdout: Holdout) -> tuple[list[CaseScore], list[CaseScore]]:
    """Both models' scores as the gate takes them; kidneys and false masses of equal models are added."""
    patients = len(holdout.champion)
    shared_false = rng.poisson(0.9, patients)
    kidney = rng.normal(0.95, 0.02, patients)
    both = []
    for masses in (holdout.champion, holdout.challenger):
        false = shared_false + rng.poisson(0.3, patients)
        own_kidney = np.clip(kidney + rng.normal(0, 0.014, patients), 0, 1)
        columns = (holdout.vendors, holdout.sizes_mm, masses, own_kidney, false)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        both.append([_score(number, *row) for number, row in enumerate(rows)])
    return both[0], both[1]


def _score(number: int, vendor: str, size_mm: float, mass: float, kidney: float, false: int) -> CaseScore:
    return CaseScore(
        image_id=f"P{number:04}_NP",
        patient_id=f"P{number:04}",
        vendor=vendor,
        size_mm=size_mm,
        dice={"kidney": kidney, "mass": mass, "cyst": None},
        found=mass > 0,
        masses_found=(mass > 0,),
        false_positives=false,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What the gate did in many rounds of one kind.

    Attributes:
        overall: Share of rounds refused for the mean over all patients, whatever else objected.
        stratum: The same for a stratum.
        lost: The same for newly missed masses.
    """

    noise: str
    patients: int
    mechanism: str
    effect: float
    rounds: int
    promoted: float
    overall: float
    stratum: float
    lost: float
    false: float
    kidney: float


def measure(
    noise: str,
    patients: int,
    mechanism: str,
    effect: float,
    *,
    rounds: int,
    rule: GateRule = DEFAULT_RULE,
    seed: int = 0,
) -> Rates:
    """Judge many simulated challengers of one kind."""
    rng = np.random.default_rng(seed)
    drawn = (draw_holdout(rng, patients, NOISE[noise], MECHANISMS[mechanism](effect)) for _ in range(rounds))
    decisions = [decide(*as_scores(rng, holdout), rule) for holdout in drawn]

    def share(flags: Iterator[bool]) -> float:
        return sum(flags) / rounds

    return Rates(
        noise=noise,
        patients=patients,
        mechanism=mechanism,
        effect=effect,
        rounds=rounds,
        promoted=share(one.promote for one in decisions),
        overall=share(not one.comparisons[0].no_worse for one in decisions),
        kidney=share(not one.comparisons[1].no_worse for one in decisions),
        stratum=share(any(not group.no_worse for group in one.comparisons[2:]) for one in decisions),
        lost=share("champion finds" in one.reason for one in decisions),
        false=share("false masses" in one.reason for one in decisions),
    )


def spread_of_differences(noise: Noise, patients: int = 100_000) -> tuple[float, float, float]:
    """Standard deviation of a model's mass DSC, of the paired difference, and the correlation, without an effect."""
    drawn = draw_holdout(np.random.default_rng(1), patients, noise, Effect())
    correlation = np.corrcoef(drawn.champion, drawn.challenger)[0, 1]
    return float(drawn.champion.std()), float((drawn.challenger - drawn.champion).std()), float(correlation)


def row(cells: Sequence[Rates]) -> str:
    """A line of Markdown: what was promoted at each effect."""
    first = cells[0]
    return (
        f"| {first.noise} | {first.patients} | {first.mechanism} | "
        + " | ".join(f"{one.promoted:.1%}" for one in cells)
        + " |"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=1000)
    options.add_argument("--patients", type=int, nargs="+", default=[40])
    options.add_argument("--noise", nargs="+", choices=list(NOISE), default=list(NOISE))
    options.add_argument("--mechanisms", nargs="+", choices=list(MECHANISMS), default=list(MECHANISMS))
    options.add_argument("--json", type=Path, help="write every rate here")
    for name, value in asdict(DEFAULT_RULE).items():
        options.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    given = options.parse_args()
    rule = GateRule(**{name: getattr(given, name) for name in asdict(DEFAULT_RULE)})
    for noise in given.noise:
        print(
            "{}: DSC spread {:.3f}, of differences {:.3f}, correlation {:.2f}".format(
                noise, *spread_of_differences(NOISE[noise])
            )
        )
    print("\n| noise | patients | effect through | " + " | ".join(f"{effect:+.2f}" for effect in EFFECTS) + " |")
    print("|---|---|---|" + "---|" * len(EFFECTS))
    rates: list[Rates] = []
    for noise, patients, mechanism in itertools.product(given.noise, given.patients, given.mechanisms):
        judged = replace(rule, min_patients=min(rule.min_patients, patients))
        cells = [measure(noise, patients, mechanism, effect, rounds=given.rounds, rule=judged) for effect in EFFECTS]
        print(row(cells), flush=True)
        rates += cells
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in rates], indent=1))


if __name__ == "__main__":
    main()
