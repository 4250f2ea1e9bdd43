"""The vendors, with the spellings found in DICOM headers (tag 0008,0070)."""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN_VENDOR = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorSpec:
    """One row of the table: the name we use, and lower-case fragments that identify it in a header."""

    name: str
    spellings: tuple[str, ...]


VENDORS: dict[str, VendorSpec] = {
    row.name: row
    for row in (
        VendorSpec(name="GE", spellings=("ge medical", "ge healthcare", "gems", "general electric")),
        VendorSpec(name="Siemens", spellings=("siemens",)),
        VendorSpec(name="Philips", spellings=("philips",)),
        VendorSpec(name="Canon", spellings=("canon", "toshiba")),
        VendorSpec(name="UIH", spellings=("uih", "united imaging", "united-imaging")),
    )
}


def vendor_of(manufacturer: str) -> str:
    """Name the vendor behind a header's manufacturer; ``"unknown"`` when no row fits.

    The vendor's own name always fits, so a value from ``cohort.csv`` maps to itself.
    """
    text = " ".join(manufacturer.lower().split())
    for row in VENDORS.values():
        if text == row.name.lower() or any(spelling in text for spelling in row.spellings):
            return row.name
    return UNKNOWN_VENDOR
