"""Score a network on labelled images, through the same prediction that readers get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lib.domain.records import CaseScore, LabelledImage
from lib.imaging.geometry import check_same_grid
from lib.imaging.lesions import measure_masses
from lib.imaging.metrics import score_case
from lib.imaging.volume import read_label, read_volume
from lib.nets.networks import LoadedWeights
from lib.nets.predict import FindKidneys, Predictor


def score_images(
    weights: LoadedWeights,
    images: Sequence[LabelledImage],
    device: str = "auto",
    *,
    find: FindKidneys | None = None,
) -> list[CaseScore]:
    """Predict and score images, in order; structures that were not drawn are not scored.

    Raises:
        BadImageError: When an image or label cannot be read.
        GeometryError: When a label is not on its image's grid.
    """
    predictor = Predictor(weights, device, find=find)
    return [_score(predictor, case) for case in images]


def _score(predictor: Predictor, case: LabelledImage) -> CaseScore:
    image, label = read_volume(case.image), read_label(case.label)
    check_same_grid(label, image)
    prediction = predictor(image).label.data
    score = score_case(case.image_id, prediction, label.data, case.drawn)  # type: ignore[arg-type]
    return replace(
        score,
        patient_id=case.patient_id,
        vendor=case.vendor,
        scanner=case.scanner,
        size_mm=max((mass.diameter_mm for mass in measure_masses(label)), default=None),
    )
