"""What every tissue is for the scanner: proton density, relaxation times and texture.

Relaxation times at 1.5 T and 3 T, in ms: abdominal organs, muscle, marrow and fat from de Bazelaire et al.,
Radiology 2004;230:652-659, but for the T2 of the medulla, which is set 8 % longer so that pyramids show on T2; arterial
blood from Stanisz et al., Magn Reson Med 2005;54:507-512. Proton densities, textures, spreads, bone, disc, lung, bowel
and venous T2 are assumed. Rows marked (assumed) have no
settled published value: fluids are set long, masses are set so that their T2 contrast with the cortex is the one that
Pedrosa et al., RadioGraphics 2008;28:985-1003 describe in words (clear cell and oncocytoma bright, papillary and
fat-poor angiomyolipoma dark, chromophobe in between).
"""

from __future__ import annotations

from dataclasses import dataclass

from lib.domain.structures import BACKGROUND, CYST, KIDNEY, MASS


@dataclass(frozen=True, slots=True, kw_only=True)
class TissueSpec:
    """One row of the table.

    Attributes:
        name: Key, also of the uptake tables.
        density: Relative proton density.
        t1_ms: Longitudinal relaxation time at (1.5 T, 3 T).
        t2_ms: Transverse relaxation time at (1.5 T, 3 T).
        texture: Relative standard deviation of the signal inside the tissue.
        spread: Relative standard deviation of T1 and T2 between patients.
        fat: Whether it is the fat peak that gives the signal.
        label: Structure value in a label.
    """

    name: str
    density: float
    t1_ms: tuple[float, float]
    t2_ms: tuple[float, float]
    texture: float = 0.03
    spread: float = 0.05
    fat: bool = False
    label: int = BACKGROUND


def _row(
    name: str,
    density: float,
    t1_ms: tuple[float, float],
    t2_ms: tuple[float, float],
    texture: float = 0.03,
    spread: float = 0.05,
    *,
    fat: bool = False,
    label: int = BACKGROUND,
) -> TissueSpec:
    return TissueSpec(
        name=name, density=density, t1_ms=t1_ms, t2_ms=t2_ms, texture=texture, spread=spread, fat=fat, label=label
    )


TISSUES: dict[str, TissueSpec] = {
    row.name: row
    for row in (
        _row("air", 0.0, (1000, 1000), (100, 100), 0.0),
        _row("lung", 0.12, (1200, 1300), (40, 30), 0.25),
        _row("skin_fat", 1.0, (343, 382), (58, 68), 0.05, fat=True),
        _row("fat", 1.0, (343, 382), (58, 68), 0.07, fat=True),
        _row("muscle", 0.9, (856, 898), (27, 29), 0.05),
        _row("marrow", 0.75, (549, 586), (49, 49), 0.10, 0.1),
        _row("bone", 0.12, (600, 650), (10, 10), 0.1),
        _row("disc", 0.8, (900, 1000), (70, 65), 0.08, 0.15),
        _row("csf", 1.0, (4000, 4200), (1500, 1300), 0.06),
        _row("artery", 1.0, (1441, 1932), (290, 275), 0.03),
        _row("vein", 1.0, (1441, 1932), (200, 170), 0.03),
        _row("portal", 1.0, (1441, 1932), (200, 170), 0.03),
        _row("liver", 0.9, (586, 809), (46, 34), 0.03, 0.1),
        _row("spleen", 0.95, (1057, 1328), (79, 61), 0.03, 0.2),
        _row("pancreas", 0.9, (584, 725), (46, 43), 0.10, 0.1),
        _row("bile", 1.0, (2200, 2400), (600, 500), 0.03, 0.3),
        _row("bowel_wall", 0.9, (900, 1000), (60, 55), 0.08),
        _row("bowel_fluid", 0.9, (2000, 2200), (300, 280), 0.2, 0.2),
        _row("bowel_content", 0.6, (600, 650), (60, 55), 0.3, 0.25),
        _row("cortex", 0.95, (966, 1142), (87, 76), 0.035, 0.05, label=KIDNEY),
        _row("medulla", 1.0, (1412, 1545), (92, 88), 0.035, 0.05, label=KIDNEY),
        _row("urine", 1.0, (3500, 3700), (900, 800), 0.03, label=KIDNEY),
        _row("ureter", 1.0, (3500, 3700), (900, 800), 0.03),
        _row("clear cell", 1.0, (1180, 1370), (112, 100), 0.11, 0.08, label=MASS),  # (assumed), as all rows below
        _row("papillary", 0.92, (1080, 1280), (60, 52), 0.05, 0.08, label=MASS),
        _row("chromophobe", 0.95, (1130, 1320), (84, 74), 0.05, 0.08, label=MASS),
        _row("oncocytoma", 0.98, (1150, 1340), (103, 92), 0.05, 0.08, label=MASS),
        _row("angiomyolipoma", 0.9, (980, 1160), (55, 48), 0.06, 0.08, label=MASS),
        _row("capsule", 0.85, (1000, 1150), (38, 34), 0.05, label=MASS),
        _row("necrosis", 1.0, (2000, 2200), (230, 200), 0.12, 0.2, label=MASS),
        _row("haemorrhage", 0.95, (480, 560), (75, 60), 0.15, 0.3, label=MASS),
        _row("scar", 0.95, (1400, 1600), (150, 135), 0.06, 0.2, label=MASS),
        _row("mass_fluid", 1.0, (2600, 2800), (450, 400), 0.05, 0.2, label=MASS),
        _row("cyst", 1.0, (3300, 3500), (800, 700), 0.02, 0.1, label=CYST),
        _row("bloody_cyst", 0.97, (420, 500), (110, 90), 0.06, 0.35, label=CYST),
    )
}
CODES: dict[str, int] = {name: code for code, name in enumerate(TISSUES)}
HISTOLOGIES: dict[str, float] = {
    # Share among small renal masses; surgical series differ, this order does not.
    "clear cell": 0.58,
    "papillary": 0.16,
    "chromophobe": 0.09,
    "oncocytoma": 0.10,
    "angiomyolipoma": 0.07,
}
