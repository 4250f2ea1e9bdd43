"""The MRI sequences: adding one is adding a row here and a row of contrast in ``lib/phantom``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lib.domain.errors import UnknownSequenceError

OTHER, UNKNOWN = "other", "unknown"
"""What recognition answers instead of a code: none of the table's rows, or a person has to decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceSpec:
    """One row of the table: what is constant about a sequence.

    Attributes:
        code: Key on disk and on the wire, letters and digits only.
        title: Name that a person reads.
        weighting: Dominant contrast.
        delay_s: Usual seconds after injection, or None before contrast.
        spacing_mm: Working voxel edge lengths (right, anterior, superior) of its network, in mm.
    """

    code: str
    title: str
    weighting: Literal["T1", "T2"]
    delay_s: tuple[float, float] | None = None
    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 3.0)


SEQUENCES: dict[str, SequenceSpec] = {
    row.code: row
    for row in (
        SequenceSpec(code="T1WI", title="T1 before contrast", weighting="T1"),
        SequenceSpec(code="T2WI", title="T2", weighting="T2"),
        SequenceSpec(code="CP", title="Corticomedullary phase", weighting="T1", delay_s=(15, 60)),
        SequenceSpec(code="NP", title="Nephrographic phase", weighting="T1", delay_s=(60, 150)),
        SequenceSpec(code="DP", title="Delayed phase", weighting="T1", delay_s=(150, 900)),
    )
}


def get_sequence(code: str) -> SequenceSpec:
    """Look up a row of the table.

    Raises:
        UnknownSequenceError: When no row has this code.
    """
    try:
        return SEQUENCES[code]
    except KeyError:
        known = ", ".join(SEQUENCES)
        msg = f"no sequence {code!r}; expected one of: {known}"
        raise UnknownSequenceError(msg) from None
