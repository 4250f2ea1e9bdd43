"""From an image to a proposal: which sequence, which weights, which masses."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lib.domain.errors import BadWeightsError
from lib.domain.evidence import MassEvidence
from lib.domain.records import MassMeasurement, SequenceGuess
from lib.domain.structures import STRUCTURES
from lib.imaging.lesions import measure_masses
from lib.imaging.volume import Volume
from lib.ingest.recognise import recognise
from lib.loop.trust import Trust, TrustModel, judge, mass_confidence, trust_of
from lib.nets.find import load_finder
from lib.nets.networks import load_weights
from lib.nets.predict import Predictor
from lib.nets.recognise import Recogniser, load_recogniser
from lib.registry.models import FINDER, RECOGNISER, ModelFolder, Stamp, stamp


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proposal:
    """What the server proposes for one image.

    Attributes:
        label: Values of the structure table on the image's grid.
        model_version: Version that the weight file carries.
        trust: Whether the reader should distrust it, and why.
        kidneys: How many were found beforehand.
        everywhere: Whether the whole field of view was searched, and not only around the kidneys.
        uncertainty: How unsure the network is of a structure; decides what is labelled next, not shown.
        seconds: Time per stage.
    """

    label: Volume
    sequence: SequenceGuess
    model_version: str
    masses: tuple[MassMeasurement, ...]
    trust: Trust
    kidneys: int
    everywhere: bool
    uncertainty: Mapping[str, float]
    seconds: Mapping[str, float]

    def to_json(self) -> dict[str, object]:
        """Return what clients and ``predictions.json`` show, without the voxels."""
        return {
            "label_names": {row.name: row.value for row in STRUCTURES.values()},
            "sequence": asdict(self.sequence),
            "model_version": self.model_version,
            "masses": [asdict(mass) for mass in self.masses],
            "expected_dice": self.trust.expected_dice,
            "distrust": self.trust.distrust,
            "distrust_reason": self.trust.reason,
            "kidneys_found": self.kidneys,
            "searched": "the whole field of view" if self.everywhere else "around the kidneys",
            "seconds": {stage: round(value, 3) for stage, value in self.seconds.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Loaded:
    """A network in memory, and what its weight file says of it."""

    seen: Stamp
    predictor: Predictor
    version: str
    trust: TrustModel | None


def _believed(mass: MassMeasurement, trust: TrustModel | None) -> MassMeasurement:
    """Replace the mean probability of a mass by the share of it that is expected to be right."""
    evidence = MassEvidence(probability=mass.confidence or 0.0, volume_ml=mass.volume_ml)
    return replace(mass, confidence=round(mass_confidence(evidence, trust), 4))


class Proposer:
    """Keeps one loaded network per sequence and re-reads a weight file when it was replaced.

    One lock guards the loaded networks; prediction itself runs outside it.
    """

    def __init__(self, models: ModelFolder, device: str = "auto") -> None:
        self.models = models
        self._device = device
        self._lock = threading.Lock()
        self._loaded: dict[str, _Loaded] = {}
        self._recogniser: Recogniser | None = None
        self._finder = load_finder(models.find(FINDER), device)

    def propose(
        self,
        volume: Volume,
        *,
        requested: str = "",
        metadata: str = "",
        image_id: str = "",
        sidecar: Mapping[str, object] | None = None,
    ) -> Proposal:
        """Segment an image with the network of its sequence.

        Args:
            volume: The image.
            requested: Sequence code that the user chose; empty to find out.
            metadata: Sequence code in the cohort table, when there is one.
            image_id: Id or file name of the image.
            sidecar: What dcm2niix wrote beside the image, when there is something.

        Raises:
            UnknownSequenceError: When a code is not in the table.
            UnrecognisedSeriesError: When the sequence cannot be told.
            UnknownModelError: When that sequence has no trained network.
        """
        guess = recognise(
            requested=requested,
            metadata=metadata,
            image_id=image_id,
            sidecar=sidecar,
            classify=(lambda: self._classify(volume)) if self.models.find(RECOGNISER) else None,
        )
        loaded = self._network(guess.code)
        prediction = loaded.predictor(volume)
        return Proposal(
            label=prediction.label,
            sequence=guess,
            model_version=loaded.version,
            masses=tuple(
                _believed(mass, loaded.trust) for mass in measure_masses(prediction.label, prediction.certainty)
            ),
            trust=judge(prediction.evidence, loaded.trust),
            kidneys=prediction.kidneys,
            everywhere=prediction.everywhere,
            uncertainty=prediction.uncertainty,
            seconds=prediction.seconds,
        )

    def _network(self, code: str) -> _Loaded:
        with self._lock:
            path = self.models.champion(code)
            try:
                loaded = self._current(code, path)
            except (BadWeightsError, FileNotFoundError):
                now = self.models.champion(code)
                if now == path:
                    raise
                loaded = self._current(code, now)  # another one went live between the look and the read
            self._loaded[code] = loaded
            return loaded

    def _current(self, code: str, path: Path) -> _Loaded:
        loaded, seen = self._loaded.get(code), stamp(path)
        return loaded if loaded and loaded.seen == seen else self._load(code, path, seen)

    def _load(self, code: str, path: Path, seen: Stamp) -> _Loaded:
        weights = load_weights(path)
        if weights.plan.code != code:
            msg = f"the weight file is for sequence {weights.plan.code!r}; expected {code!r}"
            raise BadWeightsError(msg)
        return _Loaded(
            seen=seen,
            predictor=Predictor(weights, device=self._device, find=self._finder),
            version=weights.notes.get("version", "unknown"),
            trust=trust_of(weights.notes),
        )

    def _classify(self, volume: Volume) -> Mapping[str, float]:
        with self._lock:
            if self._recogniser is None:
                self._recogniser = Recogniser(load_recogniser(self.models.champion(RECOGNISER)))
        return self._recogniser(volume)
