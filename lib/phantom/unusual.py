"""Patients whose kidneys are not two in their usual places: made from ordinary ones, by moving and leaving out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from lib.domain.errors import BadCohortError
from lib.phantom.anatomy import Anatomy, Kidney, Point, Side
from lib.phantom.canvas import as_point


def single(anatomy: Anatomy) -> Anatomy:
    """The left kidney is missing, with what grew on it."""
    return _keeping(anatomy, "right")


def pelvic(anatomy: Anatomy) -> Anatomy:
    """The left kidney lies in front of the sacrum, with what grows on it."""
    moved = _moved(_keeping(anatomy, "left"), (-22.0, anatomy.body.spine_y + 52, -125.0))
    right = _keeping(anatomy, "right")
    return replace(anatomy, kidneys=right.kidneys + moved.kidneys, lesions=right.lesions + moved.lesions)


def transplant(anatomy: Anatomy) -> Anatomy:
    """Both have shrunk to half; a third, with what grew on the right one, lies in the right iliac fossa."""
    moved = _moved(_keeping(anatomy, "right"), (68.0, anatomy.body.spine_y + 62, -118.0))
    return replace(anatomy, kidneys=(*map(_shrunken, anatomy.kidneys), *moved.kidneys), lesions=moved.lesions)


def none(anatomy: Anatomy) -> Anatomy:
    """Neither kidney is there."""
    return replace(anatomy, kidneys=(), lesions=())


UNUSUAL: dict[str, Callable[[Anatomy], Anatomy]] = {row.__name__: row for row in (single, pelvic, transplant, none)}
_KINDS = tuple(UNUSUAL.values())


def draw_unusual(rng: Generator, anatomy: Anatomy, share: float) -> Anatomy:
    """Make one patient unusual in one of the ways, or leave them as they are.

    Args:
        rng: Of this decision alone.
        anatomy: An ordinary patient; one with fewer than two kidneys stays as they are.
        share: Of the patients to change, 0 to 1.

    Raises:
        BadCohortError: When the share is none.
    """
    if not 0 <= share <= 1:
        msg = f"a share of {share:g} of the patients has unusual kidneys; expected a number from 0 to 1"
        raise BadCohortError(msg)
    chance, kind = rng.random(), int(rng.integers(len(_KINDS)))
    if chance >= share or len(anatomy.kidneys) < 2:
        return anatomy
    return _KINDS[kind](anatomy)


def _keeping(anatomy: Anatomy, side: Side) -> Anatomy:
    return replace(
        anatomy,
        kidneys=tuple(kidney for kidney in anatomy.kidneys if kidney.side == side),
        lesions=tuple(lesion for lesion in anatomy.lesions if lesion.side == side),
    )


def _moved(anatomy: Anatomy, to: Point) -> Anatomy:
    """The one kidney of an anatomy, with its lesions, elsewhere."""
    (kidney,) = anatomy.kidneys
    by = np.subtract(to, kidney.centre_ras)
    lesions = (replace(lesion, centre_ras=as_point(by + lesion.centre_ras)) for lesion in anatomy.lesions)
    return replace(anatomy, kidneys=(replace(kidney, centre_ras=to),), lesions=tuple(lesions))


def _shrunken(kidney: Kidney) -> Kidney:
    radii = as_point(np.array(kidney.radii_mm) / 2)
    return replace(kidney, state="atrophic", radii_mm=radii, bend_mm=kidney.bend_mm / 2, cortex_mm=kidney.cortex_mm / 2)
