"""Rows that tell T1 from T2, trade names first and numbers last: the second part of the table of kinds."""

from __future__ import annotations

import math

from lib.domain.sequences import UNKNOWN
from lib.ingest.rules import T1, T2, Rule

_INF = math.inf
_FAST_SE_TE = (50.0, 300.0)

WEIGHTED: tuple[Rule, ...] = (
    Rule(
        name="inversion recovery",
        gives=UNKNOWN,
        says="its fat is suppressed by inversion, so its contrast is not quite that of T2",
        confidence=0.3,
        words=r"stir|tirm",
    ),
    Rule(
        name="GE T2",
        gives=T2,
        says="it is a GE fast spin echo with a long echo time",
        vendor="GE",
        words=r"\w*ss ?fse\w*|\w*frfse\w*|\w*propeller\w*",
        te_ms=_FAST_SE_TE,
    ),
    Rule(
        name="Siemens T2",
        gives=T2,
        says="it is a Siemens HASTE, BLADE or TSE with a long echo time",
        vendor="Siemens",
        words=r"\w*haste\w*|\w*blade\w*|\w*t2.* tse\w*|\w*t2.* spc\w*",
        te_ms=_FAST_SE_TE,
    ),
    Rule(
        name="Philips T2",
        gives=T2,
        says="it is a Philips TSE, single-shot TSE or MultiVane with a long echo time",
        vendor="Philips",
        words=r"\w*t2\w*|ssh( ?tse)?|\w*multi ?vane\w*|mv",
        te_ms=_FAST_SE_TE,
    ),
    Rule(
        name="Canon T2",
        gives=T2,
        says="it is a Canon FASE, FSE or JET with a long echo time",
        vendor="Canon",
        words=r"\w*fase\w*|jet|\w*t2.* fse|\w*fse.* t2\w*",
        te_ms=_FAST_SE_TE,
    ),
    Rule(
        name="UIH T2",
        gives=T2,
        says="it is a UIH FSE, SSFSE or ARMS with a long echo time",
        vendor="UIH",
        words=r"\w*t2.* (fse|ssfse|arms).*|\w*ssfse\w*",
        te_ms=_FAST_SE_TE,
    ),
    Rule(name="T2 in the name", gives=T2, says="its name says T2", confidence=0.85, words=r"\w*t2(?!\d)\w*"),
    Rule(
        name="another vendor's name for T2",
        gives=T2,
        says="its name is one that another vendor gives to T2",
        confidence=0.8,
        words=r"\w*haste\w*|\w*ss ?fse\w*|\w*frfse\w*|ssh( ?tse)?",
    ),
    Rule(
        name="GE T1",
        gives=T1,
        says="it is a GE LAVA or FSPGR",
        vendor="GE",
        words=r"\w*lava\w*|\w*spgr\w*|\w*fgre\w*|disco",
    ),
    Rule(
        name="GE T1",
        gives=T1,
        says="it is a GE LAVA or FSPGR",
        confidence=0.9,
        vendor="GE",
        sequence=r"lava\w*|efgre3d\w*|fspgr\w*|disco\w*",
    ),
    Rule(
        name="Siemens T1",
        gives=T1,
        says="it is a Siemens VIBE or FLASH",
        vendor="Siemens",
        words=r"\w*vibe\w*|\w*flash\w*|\w*t1.* fl[23]d\w*",
    ),
    Rule(
        name="Philips T1",
        gives=T1,
        says="it is a Philips THRIVE, mDIXON or T1-FFE",
        vendor="Philips",
        words=r"\w*thrive\w*|m ?dixon\w*|\w*t1\w* (ffe|tfe)",
    ),
    Rule(
        name="Canon T1",
        gives=T1,
        says="it is a Canon Quick3D or T1 field echo",
        vendor="Canon",
        words=r"\w*quick ?3ds?\w*|fe t1|\w*t1.* fe|ffe ?3d",
    ),
    Rule(
        name="UIH T1",
        gives=T1,
        says="it is a UIH quick3d or gre_fsp",
        vendor="UIH",
        words=r"\w*quick ?3d\w*|gre fsp",
    ),
    Rule(name="T1 in the name", gives=T1, says="its name says T1", confidence=0.85, words=r"\w*t1(?!\d)\w*"),
    Rule(
        name="another vendor's name for T1",
        gives=T1,
        says="its name is one that another vendor gives to T1",
        confidence=0.8,
        words=r"\w*spgr\w*|\w*lava\w*|\w*vibe\w*|\w*flash\w*|\w*thrive\w*|\w*quick ?3d\w*",
    ),
    Rule(
        name="spin echo with a long TE",
        gives=T2,
        says="it is a spin echo with the TR and TE of T2",
        confidence=0.7,
        scanning="SE",
        te_ms=(60, 200),
        tr_ms=(750, _INF),
    ),
    Rule(
        name="fast gradient echo",
        gives=T1,
        says="it is a gradient echo with the TR and TE of a T1 volume",
        confidence=0.65,
        scanning="GR",
        te_ms=(0.5, 6),
        tr_ms=(1.5, 12),
    ),
    Rule(
        name="spoiled gradient echo",
        gives=T1,
        says="it is a gradient echo with the TR, TE and flip angle of T1 slices",
        confidence=0.6,
        scanning="GR",
        te_ms=(1.5, 6),
        tr_ms=(80, 400),
        flip_deg=(50, 95),
    ),
)
