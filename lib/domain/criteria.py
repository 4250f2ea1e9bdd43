"""What the evaluation calls found and near, unless it is told otherwise."""

from __future__ import annotations

from typing import Literal

Criterion = Literal["overlap", "iou", "centre"]
CRITERIA: tuple[Criterion, ...] = ("overlap", "iou", "centre")
IOU_THRESHOLD = 0.1  # least intersection over union of the criterion iou
SURFACE_TOLERANCE_MM = 2.0  # of the surface Dice; about a voxel in the plane
BOOTSTRAP_DRAWS = 2000  # resamples of patients
