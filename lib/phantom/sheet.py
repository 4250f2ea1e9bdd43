"""Contact sheets: ``python -m lib.phantom.sheet docs/figures`` makes the pictures of ``docs/phantoms.md``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.domain.sequences import SEQUENCES
from lib.domain.structures import STRUCTURES
from lib.imaging.volume import Volume
from lib.phantom.cohort import Case, make_case, make_patient

SEED = 2025
VENDOR_ROWS = ("GE", "Siemens", "Philips", "Canon", "UIH")
_BRIGHTEST = 99.4  # percentile shown as white
_CORONAL, _AXIAL = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A picture, as the radiologist sees it: the patient's right on the left.

    Attributes:
        image: Rows from the bottom.
        label: On the same pixels.
        pixel_mm: Edge lengths of a pixel (across, up).
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    pixel_mm: tuple[float, float]


def cut(case: Case, axis: int) -> Slice:
    """Cut through the largest section of the mass, or of the kidney where there is no mass; 1 coronal, 2 axial."""
    image, spacing = _upright(case.image)
    label, _ = _upright(case.label)
    target = label == STRUCTURES["mass"].value
    if not target.any():
        target = label == STRUCTURES["kidney"].value
    across = tuple({0, 1, 2} - {axis})
    position = int(np.argmax(target.sum(axis=across)))
    pictures = [np.take(data, position, axis)[::-1].T for data in (image, label)]
    return Slice(image=pictures[0], label=pictures[1], pixel_mm=(spacing[across[0]], spacing[across[1]]))


def _upright(volume: Volume) -> tuple[NDArray[Any], tuple[float, float, float]]:
    """Data with axes along right, anterior and superior, tilts ignored."""
    rotation = volume.affine[:3, :3]
    order = [int(np.argmax(np.abs(rotation[axis]))) for axis in range(3)]
    data = volume.data.transpose(order)
    for axis, column in enumerate(order):
        if rotation[axis, column] < 0:
            data = np.flip(data, axis)
    spacing = volume.spacing_mm
    return data, (spacing[order[0]], spacing[order[1]], spacing[order[2]])


def draw_sheet(path: Path, rows: list[tuple[list[Case], int]], *, outlines: bool) -> None:
    """Write a picture with one row per patient and one column per sequence.

    Args:
        path: File to write.
        rows: Cases and the axis to cut them along.
        outlines: Whether to draw the label.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(rows[0][0]), 2.5 * len(rows)), facecolor="black", layout="constrained")
    panes = figure.subplots(len(rows), len(rows[0][0]), squeeze=False)
    for (cases, axis), line in zip(rows, panes, strict=True):
        for case, pane in zip(cases, line, strict=True):
            _draw_case(pane, case, axis, outlines=outlines)
    figure.savefig(path, dpi=95, facecolor="black")


def _draw_case(pane: Any, case: Case, axis: int, *, outlines: bool) -> None:
    picture = cut(case, axis)
    aspect = picture.pixel_mm[1] / picture.pixel_mm[0]
    white = np.percentile(picture.image, _BRIGHTEST)
    pane.imshow(picture.image, origin="lower", cmap="gray", vmin=0, vmax=white, aspect=aspect)
    if outlines:
        for row in STRUCTURES.values():
            colour = tuple(part / 255 for part in row.colour)
            if (picture.label == row.value).any():
                pane.contour(picture.label == row.value, levels=[0.5], colors=[colour], linewidths=0.8)
    record = case.record
    mass = (
        f"{record.clinical['histology']} {record.clinical['size_mm']} mm" if record.clinical["size_mm"] else "no mass"
    )
    pane.set_title(f"{record.sequence}  {record.vendor} {record.field_t:g} T  {mass}", color="white", fontsize=7)
    pane.axis("off")


def _patient_with_mass(vendor: str, start: int) -> int:
    """The first patient from ``start`` whose largest mass is at least 15 mm."""
    number = start
    while not (masses := make_patient(SEED, number, vendors=[vendor]).anatomy.masses) or masses[0].size_mm < 15:
        number += 1
    return number


def draw_figures(folder: Path) -> None:
    """Write the pictures of the documentation."""
    rows: list[tuple[list[Case], int]] = []
    for start, vendor in enumerate(VENDOR_ROWS):
        number = _patient_with_mass(vendor, 10 * start)
        rows.append(([make_case(SEED, number, code, vendors=[vendor]) for code in SEQUENCES], _AXIAL))
    rows.append((rows[0][0], _CORONAL))
    draw_sheet(folder / "phantom_sheet.jpg", rows, outlines=False)
    draw_sheet(folder / "phantom_labels.jpg", rows, outlines=True)


if __name__ == "__main__":
    draw_figures(Path(sys.argv[1]))
