"""The scanners and centres of a phantom cohort: one row a model, one row a centre."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.random import Generator

from lib.domain.errors import BadCohortError

Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerSpec:
    """One row of the table; the ranges are typical of clinical protocols, not measured on one device.

    Attributes:
        vendor: Row of VENDORS.
        manufacturer: As its header spells it.
        model: As its header spells it.
        field_t: In tesla.
        pixel_mm: In-plane voxel size.
        snr: Of unenhanced renal cortex.
        level: Stored value of unenhanced renal cortex.
        fat_left: Fat signal that suppression leaves.
        fat_failure: Strength of local failures.
        shading: Standard deviation of the logarithm of the bias field.
        acquired: Fraction of k-space acquired along the phase-encoding axis.
        taper: Width of the k-space filter; 0 leaves the ringing.
        spoiled: Trade name of its three-dimensional spoiled gradient echo.
        two_echoes: Trade name of its spoiled gradient echo of single slices.
        spin_echo: Trade names of its fast spin echoes.
        suppression: Trade name of its fat suppression.
    """

    vendor: str
    manufacturer: str
    model: str
    field_t: float
    pixel_mm: Range
    snr: Range
    level: Range
    fat_left: Range
    fat_failure: Range
    shading: float
    acquired: Range
    taper: float
    spoiled: str
    two_echoes: str
    spin_echo: tuple[str, ...]
    suppression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreSpec:
    """One row of the table: a hospital, its share of the patients and of its scanners."""

    name: str
    share: float
    scanners: dict[str, float]


def _ge(model: str, field_t: float, snr: Range) -> ScannerSpec:
    return ScannerSpec(
        vendor="GE", manufacturer="GE MEDICAL SYSTEMS", model=model, field_t=field_t, pixel_mm=(1.35, 1.6), snr=snr,
        level=(900, 2400), fat_left=(0.04, 0.12), fat_failure=(0.0, 0.5), shading=0.10 if field_t < 2 else 0.17,
        acquired=(0.65, 0.85), taper=0.25,
        spoiled="LAVA", two_echoes="FSPGR", spin_echo=("SSFSE", "FRFSE"), suppression="FatSat",
    )  # fmt: skip


def _siemens(model: str, field_t: float, snr: Range) -> ScannerSpec:
    return ScannerSpec(
        vendor="Siemens", manufacturer="SIEMENS", model=model, field_t=field_t, pixel_mm=(1.2, 1.5), snr=snr,
        level=(90, 260), fat_left=(0.03, 0.08), fat_failure=(0.0, 0.35), shading=0.11 if field_t < 2 else 0.19,
        acquired=(0.7, 0.95), taper=0.12,
        spoiled="vibe", two_echoes="fl2d", spin_echo=("haste", "tse"), suppression="fs",
    )  # fmt: skip


def _philips(model: str, field_t: float, snr: Range) -> ScannerSpec:
    return ScannerSpec(
        vendor="Philips", manufacturer="Philips Medical Systems", model=model, field_t=field_t, pixel_mm=(1.2, 1.55),
        snr=snr, level=(200, 700), fat_left=(0.02, 0.07), fat_failure=(0.0, 0.3), shading=0.09 if field_t < 2 else 0.15,
        acquired=(0.75, 1.0), taper=0.1,
        spoiled="mDIXON", two_echoes="FFE", spin_echo=("SSh_TSE", "T2W_TSE"), suppression="SPAIR",
    )  # fmt: skip


SCANNERS: dict[str, ScannerSpec] = {
    row.model: row
    for row in (
        _ge("Signa HDxt", 1.5, (12, 20)),
        _ge("Optima MR360", 1.5, (14, 22)),
        _ge("DISCOVERY MR750", 3.0, (18, 32)),
        _ge("SIGNA Architect", 3.0, (22, 36)),
        _siemens("Avanto", 1.5, (13, 22)),
        _siemens("Aera", 1.5, (16, 26)),
        _siemens("Skyra", 3.0, (20, 34)),
        _philips("Achieva", 1.5, (14, 24)),
        _philips("Ingenia", 3.0, (20, 34)),
        ScannerSpec(
            vendor="Canon", manufacturer="CANON_MEC", model="Vantage Orian", field_t=1.5, pixel_mm=(1.3, 1.7),
            snr=(13, 24), level=(2200, 4200), fat_left=(0.06, 0.18), fat_failure=(0.1, 0.6), shading=0.12,
            acquired=(0.7, 0.9), taper=0.3,
            spoiled="Quick3D", two_echoes="FE", spin_echo=("FASE", "FSE"), suppression="SPAIR",
        ),
        ScannerSpec(
            vendor="Canon", manufacturer="TOSHIBA", model="Titan3T", field_t=3.0, pixel_mm=(1.3, 1.7),
            snr=(15, 26), level=(1800, 3600), fat_left=(0.06, 0.2), fat_failure=(0.1, 0.6), shading=0.18,
            acquired=(0.7, 0.9), taper=0.3,
            spoiled="Quick3D", two_echoes="FE", spin_echo=("FASE", "FSE"), suppression="EFS",
        ),
        ScannerSpec(
            vendor="UIH", manufacturer="UIH", model="uMR 570", field_t=1.5, pixel_mm=(1.3, 1.6),
            snr=(13, 22), level=(350, 900), fat_left=(0.04, 0.12), fat_failure=(0.0, 0.45), shading=0.11,
            acquired=(0.7, 0.9), taper=0.2,
            spoiled="quick3d", two_echoes="gre", spin_echo=("ssfse", "fse_arms"), suppression="fs",
        ),
        ScannerSpec(
            vendor="UIH", manufacturer="UIH", model="uMR 790", field_t=3.0, pixel_mm=(1.2, 1.5),
            snr=(20, 34), level=(400, 1100), fat_left=(0.03, 0.1), fat_failure=(0.0, 0.4), shading=0.16,
            acquired=(0.75, 0.95), taper=0.15,
            spoiled="wfi_quick3d", two_echoes="gre", spin_echo=("ssfse", "fse_arms"),
            suppression="wfi",
        ),
    )
}  # fmt: skip
CENTRES: dict[str, CentreSpec] = {
    row.name: row
    for row in (
        CentreSpec(
            name="A", share=0.5, scanners={"DISCOVERY MR750": 0.5, "Signa HDxt": 0.25, "SIGNA Architect": 0.25}
        ),
        CentreSpec(name="B", share=0.2, scanners={"Optima MR360": 0.5, "SIGNA Architect": 0.2, "DISCOVERY MR750": 0.3}),
        CentreSpec(
            name="C",
            share=0.3,
            scanners={
                "Aera": 0.12, "Skyra": 0.2, "Avanto": 0.08, "Achieva": 0.1, "Ingenia": 0.2,
                "Vantage Orian": 0.08, "Titan3T": 0.06, "uMR 570": 0.08, "uMR 790": 0.08,
            },
        ),
    )
}  # fmt: skip


def draw_scanner(rng: Generator, vendors: tuple[str, ...] | None = None) -> tuple[CentreSpec, ScannerSpec]:
    """Draw a centre and one of its scanners, out of some vendors only when they are named.

    Raises:
        BadCohortError: When no scanner of the table is from these vendors.
    """
    pairs = [
        (centre, SCANNERS[model], centre.share * share)
        for centre in CENTRES.values()
        for model, share in centre.scanners.items()
        if vendors is None or SCANNERS[model].vendor in vendors
    ]
    if not pairs:
        known = sorted({row.vendor for row in SCANNERS.values()})
        msg = f"no phantom scanner from {vendors!r}; expected some of: {', '.join(known)}"
        raise BadCohortError(msg)
    total = sum(weight for *_, weight in pairs)
    centre, scanner, _ = pairs[int(rng.choice(len(pairs), p=[weight / total for *_, weight in pairs]))]
    return centre, scanner
