"""MR series in any orientation, and segmentations on them as other software writes them."""

from copy import deepcopy

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

COLUMNS, ROWS, PLANES = 11, 9, 7  # no two alike, and no whole bytes a frame
SPACING_MM = (1.25, 0.9, 3.5)  # between columns, rows and planes
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"


def _turned(degrees: float, axis: int) -> NDArray[np.float64]:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.eye(3)
    one, two = (other for other in range(3) if other != axis)
    turn[one, one], turn[one, two], turn[two, one], turn[two, two] = cos, -sin, sin, cos
    return turn


_AXIAL = ((1, 0, 0), (0, 1, 0), (0, 0, 1))  # directions of a row, of a column and from image to image, in LPS
_TILT = _turned(31, 0) @ _turned(-17, 1) @ _turned(8, 2)
ORIENTATIONS: dict[str, NDArray[np.float64]] = {
    "axial ascending": np.array(_AXIAL, float),
    "axial descending": np.array(((1, 0, 0), (0, 1, 0), (0, 0, -1)), float),
    "coronal": np.array(((1, 0, 0), (0, 0, -1), (0, 1, 0)), float),
    "coronal backwards": np.array(((1, 0, 0), (0, 0, -1), (0, -1, 0)), float),
    "sagittal": np.array(((0, 1, 0), (0, 0, -1), (1, 0, 0)), float),
    "oblique": np.array(_AXIAL, float) @ _TILT.T,
    "oblique descending": np.array(((1, 0, 0), (0, 1, 0), (0, 0, -1)), float) @ _TILT.T,
    "halfway": np.array(_AXIAL, float) @ _turned(45, 0).T,
}


def planes_in(name: str, *, shuffle: bool = True, person: str = "Phantom^Quirina") -> list[Dataset]:
    """A series of noise, its images in no order."""
    row, column, step = ORIENTATIONS[name]
    pixels = np.random.default_rng(5).integers(1, 900, (PLANES, ROWS, COLUMNS)).astype("<u2")
    origin = np.array((-31.5, 12.25, 80.0))
    series = [
        _image(name, number, pixels[number], origin + step * SPACING_MM[2] * number, (*row, *column), person)
        for number in range(PLANES)
    ]
    return [series[number] for number in np.random.default_rng(1).permutation(PLANES)] if shuffle else series


def _image(
    name: str, number: int, pixels: NDArray[np.uint16], position: NDArray[np.float64], cosines: tuple[float, ...],
    person: str,
) -> Dataset:  # fmt: skip
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.Modality, dataset.Manufacturer = MR_IMAGE, "MR", "GE"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = person, "ID7", "19700101"
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = generate_uid(None), "1.2.3.4"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.5", generate_uid(entropy_srcs=[name])
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[name, str(number)])
    dataset.SeriesNumber, dataset.InstanceNumber = 4, number + 1
    dataset.SeriesDescription, dataset.ImageType = "t1 vibe", ["ORIGINAL", "PRIMARY", "M"]
    dataset.ImagePositionPatient = [format_number_as_ds(float(value)) for value in position]
    dataset.ImageOrientationPatient = [format_number_as_ds(float(value)) for value in cosines]
    dataset.PixelSpacing = [SPACING_MM[1], SPACING_MM[0]]
    dataset.SliceThickness = SPACING_MM[2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = pixels.tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = MR_IMAGE
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    return dataset


def drawing_of(series: list[Dataset], seed: int = 0) -> dict[str, NDArray[np.uint8]]:
    """A label without any symmetry: (row, column) values of the structure table by SOP instance UID."""
    values = np.random.default_rng(seed).choice(4, (len(series), ROWS, COLUMNS), p=(0.7, 0.15, 0.1, 0.05))
    return {str(image.SOPInstanceUID): value.astype(np.uint8) for image, value in zip(series, values, strict=True)}


def changed(dataset: Dataset) -> Dataset:
    """A copy to be changed."""
    return deepcopy(dataset)
