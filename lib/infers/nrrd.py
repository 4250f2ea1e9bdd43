"""Write a label as single-channel NRRD, the file that OHIF reads."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np

from lib.imaging.volume import Volume

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


def write_nrrd(label: Volume, path: Path) -> None:
    """Write voxels in the image's order, with directions and origin in LPS mm, as DICOM has them."""
    header = {
        "space": "left-posterior-superior",
        "space directions": (_RAS_TO_LPS @ label.affine[:3, :3]).T,
        "space origin": _RAS_TO_LPS @ label.affine[:3, 3],
        "kinds": ["domain"] * 3,
    }
    nrrd.write(str(path), label.data, header, index_order="F", compression_level=1)
