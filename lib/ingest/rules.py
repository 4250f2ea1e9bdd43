r"""The rows that recognition is driven by: what kind of series it is, and which phase its name states.

The rows themselves are in ``rules_excluded``, ``rules_weighting`` and ``rules_phase``.

A row is a rule. It fits when each of its filled cells fits; an empty cell does not matter. Of KINDS the first row that
fits decides, so what is none of the sequences comes first. Of PHASES the row with the highest confidence decides.

Cells with words are regular expressions between letters that do not belong to them: ``art`` finds ``dyn_art_2`` and
not ``start``, ``\w*lava`` finds ``BHAxLAVA``. They read the name in lower case, without accents, with spaces for
punctuation, ``C+`` as ``postcontrast`` and ``C-`` as ``precontrast``.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

from lib.domain.scanners import VENDORS
from lib.ingest.headers import SeriesHeader

T1, T2 = "T1", "T2"
BEFORE_CONTRAST, T2_WEIGHTED = "T1WI", "T2WI"
AFTER_CONTRAST, DYNAMIC = "after contrast", "dynamic"  # the name leaves the phase open


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
