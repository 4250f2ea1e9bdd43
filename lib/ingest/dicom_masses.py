"""The masses of a label one by one, as they are tracked in DICOM: numbered by size, measured, with a UID each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.domain.records import MassMeasurement
from lib.domain.structures import KIDNEY, MASS
from lib.imaging.lesions import components, measure_masses, short_axis_mm
from lib.imaging.volume import Volume
from lib.ingest.dicom_origin import uid_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackedMass:
    """One connected mass.

    Attributes:
        number: From 1, largest first.
        mask: True inside it, on the label's axes.
        short_axis_mm: Largest extent at right angles to the largest diameter.
        tracking_uid: The same for the same voxels of the same series, whenever it is written.
    """

    number: int
    mask: NDArray[np.bool_]
    measured: MassMeasurement
    short_axis_mm: float
    tracking_uid: str

    @property
    def tracking_id(self) -> str:
        """Name within one object."""
        return f"renal mass {self.number}"


def tracked_masses(label: Volume, series_uid: str) -> list[TrackedMass]:
    """Take a label apart into its masses, largest first.

    Args:
        label: Values of the structure table.
        series_uid: Of the series that it is drawn on.
    """
    numbered, count = components(label.data == MASS)
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    masks = [numbered == number + 1 for number in np.argsort(-sizes, kind="stable")]
    return [_tracked(number, mask, label, series_uid) for number, mask in enumerate(masks, start=1)]


def sides_of(label: Volume, value: int) -> frozenset[str]:
    """Sides that a structure's connected parts lie on, told as those of masses are."""
    kidneys = np.where(label.data == KIDNEY, KIDNEY, 0)
    parts = Volume(data=np.where(label.data == value, MASS, kidneys), affine=label.affine)
    return frozenset(part.side for part in measure_masses(parts))


def _tracked(number: int, mask: NDArray[np.bool_], label: Volume, series_uid: str) -> TrackedMass:
    alone = np.where(mask, MASS, np.where(label.data == KIDNEY, KIDNEY, 0))
    (measured,) = measure_masses(Volume(data=alone, affine=label.affine))
    voxels = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
    return TrackedMass(
        number=number,
        mask=mask,
        measured=measured,
        short_axis_mm=short_axis_mm(mask, label.affine[:3, :3]),
        tracking_uid=uid_of("mass", series_uid, voxels),
    )
