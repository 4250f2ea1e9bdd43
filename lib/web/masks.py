"""Labels as the viewer carries them: packed slices of single images, each named by what the PACS calls it.

Nothing says in which order or direction a volume runs, so nothing can be flipped on the way.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lib.domain.errors import BadLabelError, BadRequestError
from lib.imaging.volume import Grid, Volume
from lib.pacs.planes import ImagePlanes, label_of, slices_of

_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 1


def packed(label: Volume, planes: ImagePlanes) -> bytes:
    """Slices one after the other in the order of ``planes.keys``, rows first, one byte a voxel, as gzip."""
    slices = slices_of(label, planes)
    return gzip.compress(b"".join(slices[key].tobytes() for key in planes.keys), _LEVEL, mtime=0)


def unpacked(payload: bytes, keys: Sequence[str], planes: ImagePlanes, image: Grid) -> Volume:
    """Put a label together that came in slices.

    Args:
        payload: As ``packed`` makes it, in the order of ``keys``.
        keys: Names of the slices; all of the image's, in any order.
        planes: Of the image.
        image: Grid of the image's file.

    Raises:
        BadLabelError: When slices are missing, doubled or of another image, or the payload has another size.
    """
    columns, rows, count = planes.shape
    if len(keys) != count or set(keys) != set(planes.keys):
        msg = f"{len(set(keys) & set(planes.keys))} of the image's {count} slices, in {len(keys)}; expected each once"
        raise BadLabelError(msg)
    flat = np.frombuffer(_inflated(payload, columns * rows * count), np.uint8)
    found: dict[str, NDArray[np.uint8]] = dict(zip(keys, flat.reshape(count, rows, columns), strict=True))
    return label_of(found, planes, image)


def voxel(click: Mapping[str, object], planes: ImagePlanes, image: Grid) -> list[int]:
    """The voxel of the image's file under a click.

    Args:
        click: ``key`` of the slice, ``row`` and ``column`` in it, from 0.
        planes: Of the image.
        image: Grid of the image's file.

    Raises:
        BadRequestError: When it lies on no slice of the image.
    """
    columns, rows, _ = planes.shape
    key, row, column = click.get("key"), _within(click.get("row"), rows), _within(click.get("column"), columns)
    if key not in planes.keys or row is None or column is None:
        msg = f"a click lies on no slice of the image; expected key, row (below {rows}) and column (below {columns})"
        raise BadRequestError(msg)
    place = np.linalg.inv(image.affine) @ planes.grid.affine @ (column, row, planes.keys.index(str(key)), 1)
    return [round(float(index)) for index in place[:3]]


def _within(index: object, size: int) -> int | None:
    return index if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < size else None


def _inflated(payload: bytes, size: int) -> bytes:
    """Unpack no more than expected."""
    unpack = zlib.decompressobj(_GZIP)
    try:
        content = unpack.decompress(payload, size + 1)
    except zlib.error:
        content = b""
    if len(content) != size or not unpack.eof:
        msg = f"the slices are not {size} voxels as gzip; expected one byte a voxel"
        raise BadLabelError(msg)
    return content
