"""A made-up scanner that no network learned from, worse in every way: 0.55 T, noise, shading, fat that is not suppressed."""

from __future__ import annotations

from dataclasses import replace

from lib.phantom import scanners

FOREIGN = "Elsewhere"
_ROW = replace(
    scanners.SCANNERS["Avanto"],
    vendor=FOREIGN,
    manufacturer=FOREIGN,
    model="Low-field 0.55T",
    field_t=0.55,
    snr=(4, 7),
    fat_left=(0.5, 0.8),
    shading=0.45,
    acquired=(0.4, 0.55),
)
_CENTRE = "C"


def add_foreign() -> None:
    """Let phantoms of this process be acquired there: ``vendors=[FOREIGN]``."""
    scanners.SCANNERS[_ROW.model] = _ROW
    row = scanners.CENTRES[_CENTRE]
    scanners.CENTRES[_CENTRE] = replace(row, scanners={**row.scanners, _ROW.model: 0.1})
