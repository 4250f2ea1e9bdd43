"""Everything that the report of a new scanner says, put together from what was measured, proposed and learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from lib.domain.records import GroupComparison, PromotionDecision
from lib.onboarding.choose import Choice, Zero
from lib.onboarding.distribution import Difference, Distribution, Looked, differences
from lib.onboarding.drift import drift_score
from lib.onboarding.verdict import FAR, Recommendation, ScannerRow, without_labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A series that a person has to name, and the option that answers it."""

    series: str
    description: str
    why: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """What the network that serves said about an image.

    Attributes:
        expected_dice: Of the masses; None when the app cannot say.
        seconds: That it took.
    """

    image_id: str
    model_version: str
    kidneys: int
    masses: int
    expected_dice: float | None = None
    distrust: bool = False
    distrust_reason: str = ""
    seconds: float = 0.0

    @classmethod
    def from_reply(cls, image_id: str, reply: Mapping[str, Any]) -> Proposed:
        """Read what the server answers about a proposal."""
        return cls(
            image_id=image_id,
            model_version=str(reply["model_version"]),
            kidneys=int(reply["kidneys_found"]),
            masses=len(reply["masses"]),
            expected_dice=expected_mass_dice(reply),
            distrust=bool(reply.get("distrust")),
            distrust_reason=str(reply.get("distrust_reason") or ""),
            seconds=sum(reply["seconds"].values()),
        )


def expected_mass_dice(reply: Mapping[str, Any]) -> float | None:
    """Expected Dice of the masses in an answer of the server; None when it does not say."""
    said = reply.get("expected_dice")
    value = said.get("mass") if isinstance(said, Mapping) else said
    return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceReadiness:
    """One sequence of the new scanner.

    Attributes:
        trained_on: Training images of the sequence; 0 when nothing is known of them.
        images: What is known of each before it was labelled.
        recommendation: From that alone.
    """

    code: str
    patients: int
    trained_on: int
    differences: tuple[Difference, ...]
    images: tuple[Zero, ...]
    recommendation: Recommendation

    @property
    def drifts(self) -> list[float]:
        """Scores of the images that have one."""
        return [image.drift for image in self.images if image.drift is not None]

    @property
    def fails(self) -> bool:
        """Whether proposals are expected to fail by the images' look alone."""
        return bool(self.drifts) and median(self.drifts) > FAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """What fine-tuning did to one sequence's network."""

    code: str
    version: str
    taught: int
    rehearsed: int
    decision: PromotionDecision
    rows: tuple[ScannerRow, ...]
    recovered: float | None
    recommendation: Recommendation


@dataclass(frozen=True, slots=True, kw_only=True)
class Onboarding:
    """The report of one centre's new scanner.

    Attributes:
        scanners: Names, from the images.
        refused: Images that could not be used, with the reason.
        waiting: Why a sequence was not fine-tuned (yet), by code.
    """

    centre: str
    scanners: tuple[str, ...]
    imported: int
    questions: tuple[Question, ...]
    refused: Mapping[str, str]
    made_from: tuple[str, ...]
    sequences: tuple[SequenceReadiness, ...]
    choices: tuple[Choice, ...]
    adapted: tuple[Adapted, ...] = ()
    waiting: Mapping[str, str] = field(default_factory=dict)


def readiness(
    images: Sequence[Looked], proposals: Mapping[str, Proposed], known: Sequence[Distribution]
) -> list[SequenceReadiness]:
    """Hold new images against everything that the networks were trained on, sequence by sequence.

    Args:
        images: Of the new scanner.
        proposals: By image id; an image without one is left out.
        known: Training distributions; an image is as foreign as it is to the nearest of them, and protocols are held
            against the first that has the sequence.
    """
    found = []
    for code in sorted({image.sequence for image in images}):
        own = [image for image in images if image.sequence == code and image.image_id in proposals]
        if not own:
            continue
        trained = [one.sequences[code] for one in known if code in one.sequences]
        zero = tuple(_zero(image, proposals[image.image_id], known) for image in own)
        found.append(
            SequenceReadiness(
                code=code,
                patients=len({image.patient_id for image in own}),
                trained_on=sum(one.images for one in trained),
                differences=tuple(differences(own, trained[0])) if trained else (),
                images=zero,
                recommendation=without_labels(zero),
            )
        )
    return found


def _zero(image: Looked, proposed: Proposed, known: Sequence[Distribution]) -> Zero:
    return Zero(
        image_id=image.image_id,
        patient_id=image.patient_id,
        sequence=image.sequence,
        drift=nearest_drift(image.sequence, image.features, known),
        expected_dice=proposed.expected_dice,
        distrust=proposed.distrust,
        kidneys=proposed.kidneys,
        features=image.features,
    )


def nearest_drift(code: str, features: Sequence[float], known: Sequence[Distribution]) -> float | None:
    """Drift score against the distribution that is nearest; None without features, or without one of the sequence."""
    styles = [one.sequences[code].style for one in known if code in one.sequences]
    scores = [drift_score(style, features) for style in styles if style and len(style.mean) == len(features)]
    return min(scores, default=None)


def adapted_from(found: Mapping[str, Any]) -> Adapted:
    """Read what ``dataclasses.asdict`` gave and JSON kept."""
    decision = found["decision"]
    comparisons = tuple(GroupComparison(**one) for one in decision["comparisons"])
    return Adapted(
        **{
            **found,
            "decision": PromotionDecision(**{**decision, "comparisons": comparisons}),
            "rows": tuple(ScannerRow(**row) for row in found["rows"]),
            "recommendation": Recommendation(**found["recommendation"]),
        }
    )
