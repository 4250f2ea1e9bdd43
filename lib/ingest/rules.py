r"""The tables that recognition is driven by: what kind of series it is, and which phase its name states.

A row is a rule. It fits when each of its filled cells fits; an empty cell does not matter. Of KINDS the first row that
fits decides, so what is none of the sequences comes first. Of PHASES the row with the highest confidence decides.

Cells with words are regular expressions between letters that do not belong to them: ``art`` finds ``dyn_art_2`` and
not ``start``, ``\w*lava`` finds ``BHAxLAVA``. They read the name in lower case, without accents, with spaces for
punctuation, ``C+`` as ``postcontrast`` and ``C-`` as ``precontrast``.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from dataclasses import dataclass, replace

from lib.domain.scanners import VENDORS
from lib.ingest.headers import SeriesHeader

OTHER, UNKNOWN = "other", "unknown"
T1, T2 = "T1", "T2"
BEFORE_CONTRAST, T2_WEIGHTED = "T1WI", "T2WI"
AFTER_CONTRAST, DYNAMIC = "after contrast", "dynamic"  # the name leaves the phase open
_INF = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row: its cells, what it gives, and how sure it is.

    Attributes:
        name: Shown as the rule that decided.
        gives: A code, ``other``, ``unknown``, a weighting, or how the phase is left open.
        says: Why, as the part of a sentence after "because".
        vendor: Fits also a series whose vendor is not known.
        words: Sought in the series description; in the protocol name where that says nothing.
        image_type: Sought in the image type, as are the next two in their header values.
        te_ms: From the first to below the second number, as are the other ranges.
    """

    name: str
    gives: str
    says: str
    confidence: float = 0.95
    vendor: str = ""
    words: str = ""
    image_type: str = ""
    sequence: str = ""
    body_part: str = ""
    scanning: str = ""
    te_ms: tuple[float, float] | None = None
    tr_ms: tuple[float, float] | None = None
    flip_deg: tuple[float, float] | None = None
    b_value: tuple[float, float] | None = None

    def fits(self, header: SeriesHeader, name: str) -> bool:
        """Tell whether every filled cell fits the header and the (normalised) name."""
        return (
            (not self.vendor or header.manufacturer not in VENDORS or header.manufacturer == self.vendor)
            and _holds(self.words, name)
            and _holds(self.image_type, " ".join(header.image_type).lower())
            and _holds(self.sequence, header.sequence_name.lower())
            and _holds(self.body_part, header.body_part.lower())
            and (not self.scanning or self.scanning in header.scanning_sequence)
            and _within(self.te_ms, header.te_ms)
            and _within(self.tr_ms, header.tr_ms)
            and _within(self.flip_deg, header.flip_deg)
            and _within(self.b_value, header.b_value)
        )


def normalised(name: str) -> str:
    """A name as the word cells read it."""
    text = unicodedata.normalize("NFKD", name).lower()
    text = "".join(sign for sign in text if not unicodedata.combining(sign))
    text = re.sub(r"(?<![a-z])c ?\+|\+ ?c(?![a-z])", " postcontrast ", text)
    text = re.sub(r"(?<![a-z])c-(?![a-z0-9])|(?<![a-z0-9])-c(?![a-z])", " precontrast ", text)
    return " ".join(re.sub(r"[^\w*]|_", " ", text).split())


@functools.cache
def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z])(?:{words})(?![a-z])")


def _holds(words: str, text: str) -> bool:
    return not words or _pattern(words).search(text) is not None


def _within(span: tuple[float, float] | None, value: float | None) -> bool:
    return span is None or (value is not None and span[0] <= value < span[1])


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
"""Rows that keep a series out, and the exceptions to them."""

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
"""Rows that tell T1 from T2: trade names first, numbers last."""

KINDS = NOT_OURS + WEIGHTED

PHASES: tuple[Rule, ...] = (
    Rule(
        name="named before contrast",
        gives=BEFORE_CONTRAST,
        says="its name says before contrast",
        words=r"pre\w*|prae\w*|nativ(e[rs]?)?|plain|mask|unenh\w*|non ?(contrast|enhanced)|(vor|ohne) ?(km|kontrast\w*)"
        r"|without( gd| contrast| c)?|w o( c| gd| contrast)?|\w*平扫\w*|\w*增强前",
    ),
    Rule(
        name="named corticomedullary or arterial",
        gives="CP",
        says="its name says arterial or corticomedullary",
        words=r"art|\w*arteri(al|ell)\w*|hap|[ck]ortico ?medul\w*|kortiko ?medul\w*|cmp|cp|ap"
        r"|\w*动脉\w*|\w*皮髓\w*|\w*皮质期",
    ),
    Rule(
        name="named nephrographic or venous",
        gives="NP",
        says="its name says nephrographic, parenchymal or venous",
        words=r"pvp?|vp|np|\w*portal\w*|porto ?ven\w*|ven|venous|\w*veno(e)?s\w*|nephro\w*|parenchym\w*"
        r"|\w*静脉\w*|\w*门脉\w*|\w*实质期?",
    ),
    Rule(
        name="named delayed or excretory",
        gives="DP",
        says="its name says late, excretory or equilibrium",
        words=r"dp|late(?! ?art)|spa(e)?t(?! ?art)|spa(e)?tphas\w*|verzo(e)?ger\w*|excret\w*|urographic"
        r"|urogra(ph|f)isch\w*|ausscheid\w*|equil\w*|gleichgewicht\w*|transition\w*|\w*排泄\w*|\w*平衡期|\w*肾盂期",
    ),
    Rule(
        name="named delayed",
        gives="DP",
        says="its name says delayed",
        confidence=0.85,
        words=r"delay\w*|del|\w*延[迟时]\w*",
    ),
    Rule(
        name="named early",
        gives="CP",
        says="its name says early phase",
        confidence=0.8,
        words=r"(?<!脉)早期|early( phase)?|fru(e)?hphase",
    ),
    Rule(
        name="named late",
        gives="DP",
        says="its name says late phase",
        confidence=0.8,
        words=r"(?<!脉)晚期",
    ),
    Rule(
        name="StarVIBE after contrast",
        gives="NP",
        says="it is a radial series of minutes after contrast, which is read as nephrographic",
        confidence=0.55,
        vendor="Siemens",
        words=r"star ?vibe.* (post|km|gd)( c)?",
    ),
    Rule(
        name="named after contrast",
        gives=AFTER_CONTRAST,
        says="its name says after contrast, but not when",
        confidence=0.9,
        words=r"post\w*|(nach|mit) ?km|km|gd|gad\w*|cont(rast)?|ce|enh\w*|kontrast\w*|c$|\w*增强\w*",
    ),
    Rule(
        name="named dynamic",
        gives=DYNAMIC,
        says="its name says that it belongs to a dynamic set, but not where",
        confidence=0.9,
        words=r"dyn\w*|ph\d|multi ?phas\w*|\w*多期\w*|\w*动态\w*",
    ),
)
"""Rows that read the phase of a T1 series from its name."""
