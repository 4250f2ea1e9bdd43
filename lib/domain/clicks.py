"""A reader's click: this voxel belongs to a structure, or does not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """One click.

    Attributes:
        structure: A name of the structure table.
        inside: Whether the voxel belongs to the structure; False when it does not.
        at: Voxel, on the grid of whatever image it is used with; whole numbers on the image that was clicked.
    """

    structure: str
    inside: bool
    at: tuple[float, float, float]
