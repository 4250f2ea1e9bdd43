"""A folder that ``predict`` wrote: files, and what its table says about them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib.domain.errors import BadPredictionsError
from lib.evaluation.cases import Point
from lib.evaluation.report import Problem
from lib.imaging.volume import nifti_files

PREDICTION_TABLE = "predictions.json"
_SAME_PLACE_MM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """A folder that ``predict`` wrote.

    Attributes:
        files: By image id.
        table: ``predictions.json`` by image id; empty without it.
        failed: Why an image has no prediction, by image id.
    """

    files: Mapping[str, Path]
    table: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def model_version(self, image_id: str) -> str:
        """Version that the table states; empty when it does not."""
        return str(self.table.get(image_id, {}).get("model_version") or "")

    def sequence(self, image_id: str) -> str:
        """Code that the image was taken for; empty when the table does not say."""
        guess = self.table.get(image_id, {}).get("sequence")
        return str(guess.get("code") or "") if isinstance(guess, Mapping) else ""

    def confidence(self, image_id: str, centre_ras: Point) -> float | None:
        """Confidence that the table states for the mass at a place; None when it states none."""
        masses = self.table.get(image_id, {}).get("masses")
        for mass in masses if isinstance(masses, Sequence) else ():
            if isinstance(mass, Mapping) and _near(mass.get("centre_ras"), centre_ras):
                stated = mass.get("confidence")
                return float(stated) if isinstance(stated, int | float) and math.isfinite(stated) else None
        return None


def _near(stated: object, centre_ras: Point) -> bool:
    numbers = isinstance(stated, Sequence) and all(isinstance(one, int | float) for one in stated)
    return numbers and len(stated) == len(centre_ras) and math.dist(stated, centre_ras) < _SAME_PLACE_MM  # type: ignore[arg-type]


def read_predictions(folder: Path) -> tuple[Predictions, list[Problem]]:
    """List a folder of predictions, and its table when there is one.

    Raises:
        BadPredictionsError: When it is not a folder.
    """
    if not folder.is_dir():
        msg = "the predictions are not a folder; expected what 'predict' writes: <image_id>.nii.gz"
        raise BadPredictionsError(msg)
    files, path = nifti_files(folder), folder / PREDICTION_TABLE
    if not path.is_file():
        return Predictions(files=files), []
    try:
        content = json.loads(path.read_bytes())
        table, failed = content["images"], content.get("failed", {})
        rows = {name: row for name, row in table.items() if isinstance(row, Mapping)}
        return Predictions(files=files, table=rows, failed={str(k): str(v) for k, v in failed.items()}), []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = Problem(
            kind="unreadable_table",
            seen=f"{PREDICTION_TABLE} that cannot be read ({type(error).__name__})",
            expected="JSON as 'predict' writes it: {\"images\": {...}}",
            effect="scored without model versions and confidences",
        )
        return Predictions(files=files), [problem]
