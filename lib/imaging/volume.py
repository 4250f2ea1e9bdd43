"""Read, check and atomically write three-dimensional images and labels as NIfTI."""

from __future__ import annotations

import gzip
import math
import os
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from lib.domain.errors import BadImageError, BadLabelError
from lib.domain.structures import LABEL_VALUES

AXES = 3
NIFTI_SUFFIXES = (".nii.gz", ".nii")
MAX_VOXELS = 256 * 1024 * 1024
_MAX_BYTES = MAX_VOXELS * 8 + 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_HEADER_BYTES = 540  # of NIfTI-2; NIfTI-1 has 348
_SLACK_BYTES = 1024 * 1024  # a file may end with padding
_NIFTI2_SIZES = ((540).to_bytes(4, "little"), (540).to_bytes(4, "big"))
_NO_FILE = "the image file does not exist; expected a NIfTI file"
_DAMAGED = (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, ValueError, OverflowError, zlib.error)
_GZIP_LEVEL = 1  # level 6 is five times slower for 4 % smaller files


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """An image or a label with its place in the scanner.

    Attributes:
        data: Voxels on axes (i, j, k).
        affine: Voxel indices to scanner coordinates (right, anterior, superior) in mm, 4 x 4.
    """

    data: NDArray[np.generic]
    affine: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along (i, j, k)."""
        i, j, k = self.data.shape
        return i, j, k

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel edge lengths along (i, j, k), in mm."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return i, j, k


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Where the voxels of a file lie, without the voxels.

    Attributes:
        affine: As a Volume's.
        integer: Whether the file stores integers, unscaled.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    integer: bool = True


def image_stem(path: Path) -> str:
    """Name of a NIfTI file without its suffix; the bare name when it has none of them."""
    for suffix in NIFTI_SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name


def nifti_files(folder: Path) -> dict[str, Path]:
    """NIfTI files of a folder by their stem; none when there is no such folder. A plain file wins over a packed one."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [path for path in found if path.name.endswith(NIFTI_SUFFIXES) and not path.name.startswith(".")]
    return {image_stem(path): path for path in reversed(files) if path.is_file()}


def read_volume(path: Path) -> Volume:
    """Read an image as float32.

    Raises:
        BadImageError: When the file is not a NIfTI image, is not three-dimensional, is empty or constant,
            holds NaN or infinity, or has an affine that cannot be inverted.
    """
    volume = _read(path, np.float32)
    if not np.isfinite(volume.data).all():
        bad = int(np.count_nonzero(~np.isfinite(volume.data)))
        msg = f"the image holds {bad} voxels that are NaN or infinite; expected finite intensities"
        raise BadImageError(msg)
    if volume.data.min() == volume.data.max():
        msg = f"every voxel of the image is {float(volume.data.flat[0]):g}; expected an image with contrast"
        raise BadImageError(msg)
    return volume


def read_grid(path: Path) -> Grid:
    """Read only what the header says; the voxels may still be damaged.

    Raises:
        BadImageError: When the header is not one of a three-dimensional NIfTI image with an affine that places voxels.
    """
    try:
        image = nib.load(path)
    except FileNotFoundError:
        raise BadImageError(_NO_FILE) from None
    except _DAMAGED as error:
        raise BadImageError(_not_an_image(error)) from None
    shape, affine = _checked_grid(image)
    scaled = any(
        scale not in (None, default) for scale, default in zip(image.header.get_slope_inter(), (1, 0), strict=True)
    )
    return Grid(shape=shape, affine=affine, integer=image.get_data_dtype().kind in "iu" and not scaled)


def read_label(path: Path, values: frozenset[int] = LABEL_VALUES) -> Volume:
    """Read a label as uint8.

    Args:
        path: NIfTI file.
        values: What voxels may hold, 0 to 255; the structure table's values unless a client numbers otherwise.

    Raises:
        BadImageError: When the file is not a three-dimensional NIfTI image.
        BadLabelError: When a voxel holds anything else.
    """
    volume = _read(path, np.float32)
    with np.errstate(invalid="ignore"):
        data = volume.data.astype(np.uint8)
    known = np.isin(np.arange(256), sorted(values))[data] & (data == volume.data)  # faster than isin on every voxel
    if not known.all():
        seen = float(volume.data[~known][0])
        msg = f"the label holds the value {seen:g}; expected integers out of {sorted(values)}"
        raise BadLabelError(msg)
    return Volume(data=data, affine=volume.affine)


def _read(path: Path, dtype: type[np.floating]) -> Volume:
    image = _open(path)
    shape, affine = _checked_grid(image)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # damaged scale factors: seen as infinite by the caller
            data = np.asarray(image.dataobj, dtype=dtype).reshape(shape)
    except (OSError, EOFError, ValueError, TypeError, zlib.error) as error:
        msg = f"the image's voxels cannot be read ({type(error).__name__}): the file is truncated or damaged"
        raise BadImageError(msg) from None
    return Volume(data=data, affine=affine)


def _checked_grid(image: nib.Nifti1Image) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    shape = image.shape
    while len(shape) > AXES and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != AXES:
        msg = f"the image has {len(shape)} axes {shape}; expected three (i, j, k)"
        raise BadImageError(msg)
    if min(shape) < 1 or np.prod(shape, dtype=np.int64) > MAX_VOXELS:
        msg = f"the image has shape {shape}; expected at least one and at most {MAX_VOXELS} voxels"
        raise BadImageError(msg)
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < np.finfo(np.float32).tiny:
        msg = "the image's affine cannot be inverted; expected a qform or sform that places every voxel"
        raise BadImageError(msg)
    i, j, k = shape
    return (i, j, k), affine


def _open(path: Path) -> nib.Nifti1Image:
    try:
        payload = _unpacked(path)
        kind = nib.Nifti2Image if payload[:4] in _NIFTI2_SIZES else nib.Nifti1Image
        return kind.from_bytes(payload)
    except FileNotFoundError:
        raise BadImageError(_NO_FILE) from None
    except _DAMAGED as error:
        raise BadImageError(_not_an_image(error)) from None


def _not_an_image(error: Exception) -> str:
    return f"the file is not a NIfTI image, or damaged ({type(error).__name__}); expected .nii or .nii.gz"


def _unpacked(path: Path) -> bytes:
    """Read the whole file, through gzip when it is packed: only a read to the end checks gzip's checksum.

    A file that unpacks to more than its header announces is refused before it fills the memory.
    """
    with path.open("rb") as raw:
        packed = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    with gzip.open(path) if packed else path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
        most = min(_announced_bytes(head) + _SLACK_BYTES, _MAX_BYTES)
        payload = head + file.read(max(0, most + 1 - len(head)))
    if len(payload) > most:
        msg = f"larger than the {most} bytes that its header announces"
        raise ValueError(msg)
    return payload


def _announced_bytes(head: bytes) -> int:
    kind = nib.Nifti2Image if head[:4] in _NIFTI2_SIZES else nib.Nifti1Image
    header = kind.header_class(head[: kind.header_class.template_dtype.itemsize], check=False)  # without extensions
    voxels = math.prod(max(0, int(size)) for size in header.get_data_shape())
    return int(header.get_data_offset()) + voxels * int(header.get_data_dtype().itemsize)


def write_volume(volume: Volume, path: Path) -> None:
    """Write a NIfTI file so that it is either whole or absent: temporary file, fsync, replace.

    The dtype is kept; bool becomes uint8.
    """
    write_bytes(volume_bytes(volume, packed=path.name.endswith(".gz")), path)


def volume_bytes(volume: Volume, *, packed: bool = True) -> bytes:
    """Content of a NIfTI file; the same volume always gives the same bytes."""
    data = volume.data.astype(np.uint8) if volume.data.dtype == np.bool_ else volume.data
    image = nib.Nifti1Image(np.asanyarray(data), volume.affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(volume.affine, code=1)
    image.set_qform(volume.affine, code=1, strip_shears=True)
    payload: bytes = image.to_bytes()
    if not packed:
        return payload
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)  # no time stamp in it
    return packer.compress(payload) + packer.flush()


def write_bytes(payload: bytes, path: Path, *, modified_ns: int | None = None, mode: int = 0o644) -> None:
    """Replace a file's content in one step: temporary file beside it, fsync, replace, fsync of the folder.

    Args:
        payload: All of the content.
        path: The file; its folder is made when there is none.
        modified_ns: Time of modification that the file is to show, in ns since 1970; now when None.
        mode: Who may read and write it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        if modified_ns is not None:
            os.utime(name, ns=(modified_ns, modified_ns))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
