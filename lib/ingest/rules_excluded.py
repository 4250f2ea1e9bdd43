"""Rows that keep a series out, and the exceptions to them: the first part of the table of kinds."""

from __future__ import annotations

import math
from dataclasses import replace

from lib.domain.sequences import OTHER
from lib.ingest.rules import T1, Rule

_INF = math.inf


def _other(
    name: str, says: str, *, confidence: float = 0.97, words: str = "", image_type: str = "", sequence: str = ""
) -> tuple[Rule, ...]:
    """Rows that keep a series out, one for each filled cell: any of them is enough."""
    row = Rule(name=name, gives=OTHER, says=says, confidence=confidence)
    by_words, by_type, by_sequence = (
        replace(row, words=words),
        replace(row, image_type=image_type),
        replace(row, sequence=sequence),
    )
    return tuple(one for one in (by_words, by_type, by_sequence) if one != row)


NOT_OURS: tuple[Rule, ...] = (
    *_other(
        "localiser",
        "it is a localiser",
        words=r"\w*locali[sz]er\w*|loc|locator|lokali\w*|\w*scouts?\w*|survey|topogram"
        r"|u(e)?bersicht\w*|3 ?pl(ane)?|定位\w*",
    ),
    *_other(
        "calibration",
        "it calibrates the scanner",
        words=r"cal|calib\w*|ref ?scan|reference scan|b[01]( ?map)?|shim\w*|prescan|field ?map",
    ),
    *_other(
        "bolus timing",
        "it times the injection",
        words=r"\w*bolus\w*|\w*smart ?prep\w*|fluoro\w*|tracker|visual ?prep",
    ),
    *_other(
        "diffusion",
        "it is diffusion-weighted or made from it",
        words=r"\w*dwi\w*|d[tk]i|diff\w*|ax ?dif\w*|\w*adc\w*|apparent diffusion.*|ivim|trace\w*"
        r"|弥散\w*|扩散\w*|b ?\d{2}|\w*b ?\d{3,4}",
        image_type=r"adc|e?adc\w*|diff\w*|trace\w*|dwi",
    ),
    Rule(name="b-value", gives=OTHER, says="its header states a b-value", b_value=(1, _INF)),
    Rule(name="echo-planar", gives=OTHER, says="it is echo-planar", scanning="EP"),
    *_other("echo-planar", "it is echo-planar", words=r"epi|ep2d\w*", sequence=r"\w*epi\w*|ep2d\w*|epfid\w*"),
    *_other(
        "subtraction",
        "it is a difference of two series",
        words=r"s?subs?|\w*subtra\w*|subtr|减影\w*",
        image_type=r"sub\w*",
    ),
    *_other(
        "reformat or projection",
        "it is made from another series",
        words=r"\w?mips?|mpr\w*|reformat\w*|projection|vrt?|screen ?save|montage|processed images?"
        r"|ps series|最大密度\w*",
        image_type=r"\w*mip|mpr|projection image|reformatted|vrt?|screen\w*|min ip",
    ),
    *_other(
        "hepatobiliary",
        "it is taken long after every phase we use",
        words=r"hbp|hepato ?bil\w*|hepato[cz]yt\w*|肝胆期?",
    ),
    *_other(
        "MRCP or MR urography",
        "it shows fluid only",
        words=r"\w*(mr|er)cp\w*|mru|(mr ?)?urograph(y|ie)|\w*thick ?slab\w*|hydro\w*|水成像|胰胆管\w*|尿路\w*",
    ),
    Rule(name="very long TE", gives=OTHER, says="its echo time shows fluid only", scanning="SE", te_ms=(300, _INF)),
    *_other(
        "angiography",
        "it is angiography",
        words=r"\w*mra|mrv|\w*angio\w*|tof\w*|(?<!vibe )twist(?! ?vibe)|tricks\w*|^fl3d\w*|fbi|inhance\w*|4d ?trak\w*"
        r"|native (true ?fisp|space|haste)|血管\w*",
    ),
    *_other(
        "flow",
        "it measures flow",
        words=r"pc|phase contrast|q ?flow|venc\w*|\w*flow",
        sequence=r"\w*fl\w*pc\w*",
    ),
    *_other("elastography", "it measures stiffness", words=r"mre|mr touch|\w*elasto\w*|stiffness|wave|shear\w*"),
    *_other("perfusion", "it measures perfusion", words=r"\w*asl|\w*perf(u\w*)?|cerebral blood.*"),
    *_other(
        "map or fat fraction",
        "it is a map or made for one",
        words=r"ff|\w*fat ?frac\w*|pdff|ideal iq|\w*quant|q ?dixon|liver ?lab|histo|molli|\w*mapping|\w*maps?"
        r"|r2\*?|r2 ?star\w*|t2 ?star\w*|t2\*\w*|t2s|swi\w*|swan|\w*bold\w*|\w*mfgre\w*|mgre|me ?gre|\d+ ?echo(es)?",
        image_type=r"\w*map|ff|pdff|r2\*?|t2\*|star|fat ?frac\w*",
        sequence=r"\w*mfgre\w*|ideal3d|\w*bold\w*",
    ),
    *_other("magnetisation transfer", "it is magnetisation transfer", words=r"mt[cr]?|magneti[sz]ation transfer"),
    *_other("spectroscopy", "it is spectroscopy", words=r"spectro\w*|svs|mrs|csi"),
    *_other("cine", "it is a film", words=r"cine|tagging"),
    *_other(
        "balanced gradient echo",
        "its contrast is that of a balanced gradient echo, neither T1 nor T2",
        words=r"\w*fiesta\w*|\w*tru ?fi\w*|true ?(fisp|ssfp)|\w*b ?ffe|\w*b ?tfe|b?ssfp|balanced",
        sequence=r"\w*fiesta\w*|tfi2d\w*|tfi3d\w*",
    ),
    Rule(
        name="TurboFLASH at the in-phase echo time",
        gives=T1,
        says="it is a Siemens T1 TurboFLASH, which has this one echo",
        confidence=0.8,
        vendor="Siemens",
        words=r"tfl in phase",
    ),
    *_other(
        "in or opposed phase",
        "it is one of the in-phase and opposed-phase pair",
        words=r"in ?phase|in$|in ?(out|opp?)|out ?(of ?)?phase|opp|oop|opposed.*|gegenphas\w*|ip|op|iop"
        r"|dual( ?echo)?|\w*同相\w*|\w*反相\w*",
        image_type=r"in|out|ip|op|oop|opp|inphase|opposed",
    ),
    *_other(
        "fat image",
        "it shows fat only",
        words=r"^fat(?! ?(sat|sup|fs))|fat (only|image)|f$|\w*dixon f|.*(wfi|dixon|flex|ideal).* fat(?! ?(sat|sup))",
        image_type=r"fat|f",
    ),
    *_other("phase image", "its voxels are phases", image_type=r"p|phase|imaginary|real"),
    *_other("dark fluid", "its fluid is suppressed", words=r"\w*flair\w*|dark ?fl\w*"),
    *_other(
        "another part of the body",
        "its name says another part of the body",
        words=r"\w*spine|brain|knee|shoulder|\w*prostat\w*|gehirn|schadel|头颅|颅脑",
    ),
    Rule(
        name="another part of the body",
        gives=OTHER,
        says="its header says another part of the body",
        confidence=0.85,
        body_part=r"\w*brain|head|\w*spine|knee|shoulder|ankle|foot|hand|wrist|elbow|breast|prostate|neck",
    ),
)
