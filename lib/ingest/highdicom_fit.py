"""highdicom made fit for use here; import this module before using it.

Version 0.22, the last one for pydicom 2, uses two names that NumPy 2 took away. Its own modules get a NumPy that has
them; NumPy itself stays as it is. With pydicom 3 and a newer highdicom this goes. And it logs the UIDs of everything
that it reads, which must not be in a log.
"""

from __future__ import annotations

import logging
from types import ModuleType

import highdicom.seg.sop
import highdicom.spatial
import numpy as np


class _OldNames(ModuleType):
    """NumPy with the names of NumPy 1 that highdicom asks for."""

    float_ = np.float64
    row_stack = staticmethod(np.vstack)

    def __getattr__(self, name: str) -> object:
        return getattr(np, name)


logging.getLogger("highdicom").setLevel(logging.ERROR)
for module in (highdicom.seg.sop, highdicom.spatial):
    module.np = _OldNames("numpy")
