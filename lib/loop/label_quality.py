"""Which labels to look at again before they teach. Pure: a label, the proposal and a prediction in, suspicions out.

The proposal is what the reader started from. The prediction comes from a model that was trained without this patient
(cross-validated), so a label cannot vouch for itself. Both may be wrong: a label is suspicious only where both say so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lib.domain.errors import BadRequestError, GeometryError
from lib.domain.structures import KIDNEY, MASS, STRUCTURE_NAMES
from lib.imaging.lesions import components
from lib.imaging.metrics import detected, overlap

Kind = Literal["empty", "off-kidney", "shifted", "other image", "swapped", "spill", "far from both"]
Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
_ML = 1000.0  # mm³


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule:
    """What is suspicious, and what happens then.

    Attributes:
        action: ``hold`` a suspicious label for review, or ``down-weight`` it; it is listed in either case.
        weight: Of a suspicious label in training, when it is down-weighted.
        seen_ml: Volume that both predictions must agree on to contradict an empty label.
        off_kidney_mm: Distance of a drawn mass from every kidney.
        shift_mm: Distance by which the label fits better elsewhere.
        shift_gain: By how much Dice it fits better there.
        other_image_dice: Kidney Dice with both predictions below which the label belongs to another image.
        swap_gain: By how much Dice kidney and mass fit better the other way round.
        spill_mm: Distance from everything that was predicted, beyond which a voxel is spilt.
        spill_ml: Volume of spilt voxels.
        far_dice: Mass Dice with both predictions below which the label is far from them.
        agree_dice: Mass Dice between the two predictions from which they are believed.
    """

    action: str = "hold"
    weight: float = 0.25
    seen_ml: float = 0.5
    off_kidney_mm: float = 15.0
    shift_mm: float = 6.0
    shift_gain: float = 0.05
    other_image_dice: float = 0.3
    swap_gain: float = 0.2
    spill_mm: float = 40.0
    spill_ml: float = 0.5
    far_dice: float = 0.2
    agree_dice: float = 0.6

    def __post_init__(self) -> None:
        """Refuse a rule that cannot be applied.

        Raises:
            BadRequestError: When the action is unknown or a figure is out of range.
        """
        if self.action not in ("hold", "down-weight"):
            msg = f"setting labels_action is {self.action!r}; expected 'hold' or 'down-weight'"
            raise BadRequestError(msg)
        for name, highest in _HIGHEST.items():
            value = getattr(self, name)
            if not 0 <= value <= highest:
                msg = f"setting labels_{name} is {value:g}; expected 0 to {highest:g}"
                raise BadRequestError(msg)


_HIGHEST = {
    "weight": 1,
    "seen_ml": math.inf,
    "off_kidney_mm": math.inf,
    "shift_mm": math.inf,
    "shift_gain": 1,
    "other_image_dice": 1,
    "swap_gain": 1,
    "spill_mm": math.inf,
    "spill_ml": math.inf,
    "far_dice": 1,
    "agree_dice": 1,
}
DEFAULT_RULE = LabelRule()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelToCheck:
    """A final label and what two models say, all values of the structure table on the same voxels (i, j, k).

    Attributes:
        proposal: Of the model whose proposal the reader started from.
        prediction: Of a model trained without this patient.
        spacing_mm: Voxel edge lengths along (i, j, k).
        drawn: Structures that the reader drew.
    """

    image_id: str
    label: Labels
    proposal: Labels
    prediction: Labels
    spacing_mm: tuple[float, float, float]
    drawn: frozenset[str] = frozenset(STRUCTURE_NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """One thing that speaks against a label, with the sentence that a reviewer will read."""

    kind: Kind
    reason: str


def suspicions(case: LabelToCheck, rule: LabelRule = DEFAULT_RULE) -> tuple[Suspicion, ...]:
    """Everything that speaks against a label; empty when nothing does.

    Raises:
        GeometryError: When the arrays do not have one shape of three axes.
    """
    shapes = {array.shape for array in (case.label, case.proposal, case.prediction)}
    if len(shapes) > 1 or len(case.label.shape) != len(case.spacing_mm):
        msg = f"label, proposal and prediction have shapes {sorted(shapes)}; expected one shape of three axes"
        raise GeometryError(msg)
    small = _cropped(case)
    found = (Suspicion(kind=kind, reason=reason) for kind, check in _CHECKS.items() if (reason := check(small, rule)))
    return tuple(found)


def _cropped(case: LabelToCheck) -> LabelToCheck:
    """Leave out what all three call background, but for one voxel around; distances within are unchanged."""
    boxes = ndimage.find_objects(((case.label | case.proposal | case.prediction) > 0).astype(np.int8))
    box = tuple(slice(max(0, edge.start - 1), edge.stop + 1) for edge in boxes[0]) if boxes else ()
    return replace(case, label=case.label[box], proposal=case.proposal[box], prediction=case.prediction[box])


# ---- one check a kind: the reason, or nothing


def _empty(case: LabelToCheck, rule: LabelRule) -> str:
    if "mass" not in case.drawn or (case.label == MASS).any():
        return ""
    seen_ml = _volume_ml((case.proposal == MASS) & (case.prediction == MASS), case)
    return f"no mass is drawn where both predictions see {seen_ml:.1f} ml" if seen_ml >= rule.seen_ml else ""


def _off_kidney(case: LabelToCheck, rule: LabelRule) -> str:
    kidneys = (case.proposal == KIDNEY) | (case.prediction == KIDNEY) | (case.label == KIDNEY)
    masses, count = components(case.label == MASS)
    if not count or not kidneys.any():
        return ""
    nearest = ndimage.minimum(_distance_mm(kidneys, case), masses, range(1, count + 1))
    farthest = float(max(nearest))
    return f"a mass lies {farthest:.0f} mm from every kidney" if farthest > rule.off_kidney_mm else ""


def _shifted(case: LabelToCheck, rule: LabelRule) -> str:
    """The label fits both predictions better after the shift that brings its centre onto theirs."""
    label = _foreground(case.label, case)
    shifts = [_shift(label, _foreground(other, case), case) for other in (case.proposal, case.prediction)]
    if any(shift is None for shift in shifts):
        return ""
    distance = min(shift.distance_mm for shift in shifts if shift)
    gain = min(shift.gain for shift in shifts if shift)
    if distance < rule.shift_mm or gain < rule.shift_gain:
        return ""
    return f"it fits both predictions better by {gain:.2f} Dice when it is moved by {distance:.0f} mm"


def _other_image(case: LabelToCheck, rule: LabelRule) -> str:
    """The kidneys lie elsewhere: the label of another sequence, patient or grid."""
    if "kidney" not in case.drawn:
        return ""
    kidneys = case.label == KIDNEY
    best = max(overlap(kidneys, case.proposal == KIDNEY), overlap(kidneys, case.prediction == KIDNEY))
    seen = overlap(case.proposal == KIDNEY, case.prediction == KIDNEY)
    if best >= rule.other_image_dice or seen < rule.agree_dice:
        return ""
    return f"its kidneys overlap those of the predictions with a Dice of at most {best:.2f}; theirs agree by {seen:.2f}"


def _swapped(case: LabelToCheck, rule: LabelRule) -> str:
    if not {"kidney", "mass"} <= case.drawn:
        return ""
    kidney, mass = case.label == KIDNEY, case.label == MASS
    gains = [
        overlap(kidney, other == MASS)
        + overlap(mass, other == KIDNEY)
        - overlap(kidney, other == KIDNEY)
        - overlap(mass, other == MASS)
        for other in (case.proposal, case.prediction)
    ]
    return (
        f"kidney and mass fit better the other way round, by {min(gains):.2f} Dice"
        if min(gains) > rule.swap_gain
        else ""
    )


def _spill(case: LabelToCheck, rule: LabelRule) -> str:
    predicted = (case.proposal > 0) | (case.prediction > 0)
    if not predicted.any():
        return ""
    spilt_ml = _volume_ml((case.label > 0) & (_distance_mm(predicted, case) > rule.spill_mm), case)
    if spilt_ml < rule.spill_ml:
        return ""
    return f"{spilt_ml:.1f} ml are drawn more than {rule.spill_mm:g} mm from everything that was predicted"


def _far(case: LabelToCheck, rule: LabelRule) -> str:
    """The two predictions agree on a mass, and the label, which holds one, is far from both."""
    mass, proposal, prediction = (array == MASS for array in (case.label, case.proposal, case.prediction))
    if not mass.any() or overlap(proposal, prediction) < rule.agree_dice:
        return ""
    dices = overlap(mass, proposal), overlap(mass, prediction)
    if max(dices) >= rule.far_dice:
        return ""
    missed = detected(mass, proposal & prediction).count(False)
    return (
        f"mass Dice is {dices[0]:.2f} with the proposal and {dices[1]:.2f} with the prediction, which agree; "
        f"{missed} of their masses are not drawn"
    )


_CHECKS: dict[Kind, Callable[[LabelToCheck, LabelRule], str]] = {
    "empty": _empty,
    "off-kidney": _off_kidney,
    "shifted": _shifted,
    "other image": _other_image,
    "swapped": _swapped,
    "spill": _spill,
    "far from both": _far,
}


# ---- measuring


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shift:
    distance_mm: float
    gain: float


def _shift(label: Mask, other: Mask, case: LabelToCheck) -> _Shift | None:
    """How far the label's centre is from another mask's, and how much better it fits there; None when one is empty."""
    if not label.any() or not other.any():
        return None
    offset = np.subtract(ndimage.center_of_mass(other), ndimage.center_of_mass(label))
    steps = np.rint(offset).astype(int)
    return _Shift(
        distance_mm=float(np.linalg.norm(steps * case.spacing_mm)),
        gain=overlap(_moved(label, steps), other) - overlap(label, other),
    )


def _moved(mask: Mask, steps: NDArray[np.int_]) -> Mask:
    """Move a mask by whole voxels; what leaves the box is lost."""
    moved = np.zeros_like(mask)
    there = tuple(slice(max(0, step), n + min(0, step)) for step, n in zip(steps, mask.shape, strict=True))
    here = tuple(slice(max(0, -step), n + min(0, -step)) for step, n in zip(steps, mask.shape, strict=True))
    moved[there] = mask[here]
    return moved


def _foreground(labels: Labels, case: LabelToCheck) -> Mask:
    """What tells the position: everything when the kidneys were drawn, else the masses."""
    return labels > 0 if "kidney" in case.drawn else labels == MASS


def _distance_mm(mask: Mask, case: LabelToCheck) -> NDArray[np.float64]:
    """Distance of every voxel to the nearest one of a mask, in mm."""
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(~mask, sampling=case.spacing_mm)
    return distance


def _volume_ml(mask: Mask, case: LabelToCheck) -> float:
    return float(np.count_nonzero(mask)) * math.prod(case.spacing_mm) / _ML
