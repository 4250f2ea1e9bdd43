"""Rows that read the phase of a T1 series from its name."""

from __future__ import annotations

from lib.ingest.rules import AFTER_CONTRAST, BEFORE_CONTRAST, DYNAMIC, Rule

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
