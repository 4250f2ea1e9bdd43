"""One checked stack through dcm2niix, and a check that what comes out lies where the headers say."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dcm2niix
import nibabel as nib
import numpy as np
import pydicom
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from lib.domain.errors import BadDicomError, RenalError
from lib.imaging.geometry import check_same_grid, to_canonical
from lib.imaging.volume import Volume, read_volume
from lib.ingest.dicom_series import Stack
from lib.ingest.dicom_slices import UNREADABLE, quiet_pydicom

TIMEOUT_S = 600
# -g i: no defaults of this user's; -m y: one volume, the stack is checked; -x i: neither cropped nor turned.
_OPTIONS = ("-g", "i", "-b", "y", "-ba", "y", "-z", "n", "-w", "1", "-m", "y", "-x", "i", "-l", "o", "-f", "volume")
_GRID_MM = 0.1
_TO_RAS = np.array([-1.0, -1.0, 1.0])
_LARGEST_INT16 = 32767


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What dcm2niix made of a stack; the sidecar is as it came and may name people."""

    volume: Volume
    sidecar: Mapping[str, object]


def convert(stack: Stack) -> Converted:
    """Convert a stack without problems.

    Raises:
        BadDicomError: When pixels are missing, dcm2niix fails, makes more than one volume, or puts it elsewhere.
    """
    _check_pixels(stack)
    with tempfile.TemporaryDirectory(prefix="renal-loop-") as folder:
        source, out = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        out.mkdir()
        for number, path in enumerate(dict.fromkeys(one.path for one in stack.slices)):
            (source / f"{number:06d}.dcm").symlink_to(path.resolve())
        _run(source, out)
        made = sorted(out.glob("*.nii"))
        if len(made) != 1:
            msg = f"dcm2niix made {len(made)} volumes of it; expected one"
            raise BadDicomError(msg)
        return Converted(volume=_checked_volume(made[0], stack), sidecar=_sidecar(made[0].with_suffix(".json")))


def _run(source: Path, out: Path) -> None:
    """Run the converter; its messages name files and people and go nowhere."""
    command = [dcm2niix.bin, *_OPTIONS, "-o", str(out), str(source)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603 - own paths
    except subprocess.TimeoutExpired:
        msg = f"dcm2niix did not end within {TIMEOUT_S} s"
        raise BadDicomError(msg) from None
    if done.returncode:
        msg = f"dcm2niix could not convert it (exit code {done.returncode})"
        raise BadDicomError(msg)


def _check_pixels(stack: Stack) -> None:
    """Refuse a slice whose pixels are not all there: the converter would fill it up.

    Raises:
        BadDicomError: When a file cannot be read to its end.
    """
    bad = sum(not _is_whole(path) for path in dict.fromkeys(one.path for one in stack.slices))
    if bad:
        msg = f"the pixel data of {bad} of {len(stack.slices)} slices are truncated or damaged"
        raise BadDicomError(msg)


def _is_whole(path: Path) -> bool:
    try:
        with quiet_pydicom():
            dataset = pydicom.dcmread(path, force=True)
            pixels: bytes = dataset.PixelData
            syntax = dataset.file_meta.get("TransferSyntaxUID")
            if syntax is not None and syntax.is_compressed:
                return len(pixels) > 0
            frames = int(dataset.get("NumberOfFrames") or 1)
            bits = dataset.Rows * dataset.Columns * dataset.get("SamplesPerPixel", 1) * dataset.BitsAllocated * frames
            return bool(len(pixels) >= bits // 8)
    except UNREADABLE:
        return False


def _checked_volume(path: Path, stack: Stack) -> Volume:
    """Read the volume and compare its grid with the one that the slices' headers describe.

    Raises:
        BadDicomError: When they differ, or the image is empty.
    """
    try:
        read_volume(path)
        image = nib.Nifti1Image.from_bytes(path.read_bytes())
        volume = Volume(data=_voxels(image), affine=np.asarray(image.affine, dtype=np.float64))
        check_same_grid(to_canonical(volume), to_canonical(expected_grid(stack)), tolerance_mm=_GRID_MM)
    except (RenalError, ImageFileError, OSError, ValueError) as error:
        said = str(error) if isinstance(error, RenalError) else type(error).__name__
        msg = f"the converted image cannot be used: {said}"
        raise BadDicomError(msg) from None
    return volume


def _voxels(image: nib.Nifti1Image) -> NDArray[np.generic]:
    """The stored integers where they need no scaling, int16 where they fit; else float32."""
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    if slope != 1 or intercept != 0:
        return np.asarray(image.dataobj, dtype=np.float32).reshape(image.shape[:3])
    data = np.asanyarray(image.dataobj).reshape(image.shape[:3])
    fits = np.issubdtype(data.dtype, np.integer) and data.max() <= _LARGEST_INT16 and data.min() >= -_LARGEST_INT16
    voxels: NDArray[np.generic] = data.astype(np.int16) if fits else data
    return voxels


def expected_grid(stack: Stack) -> Volume:
    """The grid that the headers of the slices describe; its voxels are zero."""
    first, last = stack.slices[0], stack.slices[-1]
    between_rows, between_columns = first.pixel_mm
    start, end = np.array(first.position_lps), np.array(last.position_lps)
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.orientation_lps[:3]) * between_columns
    affine[:3, 1] = np.array(first.orientation_lps[3:]) * between_rows
    affine[:3, 2] = (end - start) / (len(stack.slices) - 1)
    affine[:3, 3] = start
    affine[:3] *= _TO_RAS[:, None]
    rows, columns = first.size
    return Volume(data=np.broadcast_to(np.int16(0), (columns, rows, len(stack.slices))), affine=affine)


def _sidecar(path: Path) -> Mapping[str, object]:
    """Read the sidecar; one that cannot be read says nothing."""
    try:
        sidecar = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return {}
    return sidecar if isinstance(sidecar, dict) else {}
