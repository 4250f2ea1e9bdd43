"""MR series in any orientation, and segmentations on them as other software writes them."""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixel_data_handlers import pack_bits
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from lib.imaging.volume import Volume
from tests.ingest.examination import item

COLUMNS, ROWS, PLANES = 11, 9, 7  # no two alike, and no whole bytes a frame
SPACING_MM = (1.25, 0.9, 3.5)  # between columns, rows and planes
ORIGIN_LPS = (-31.5, 12.25, 80.0)
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
    origin = np.array(ORIGIN_LPS)
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
    dataset.FrameOfReferenceUID, dataset.StudyInstanceUID = "1.2.3.4", "1.2.3.5"
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[name])
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


def volume_on(series: list[Dataset], name: str, drawing: dict[str, NDArray[np.uint8]]) -> Volume:
    """The drawing as a volume in RAS, worked out from how the series was made and not from its headers."""
    row, column, step = ORIENTATIONS[name]
    affine = np.eye(4)
    affine[:3, :3] = np.array([row * SPACING_MM[0], column * SPACING_MM[1], step * SPACING_MM[2]]).T
    affine[:3, 3] = ORIGIN_LPS
    ordered = sorted(series, key=lambda image: int(image.InstanceNumber))
    data = np.stack([drawing[str(image.SOPInstanceUID)].T for image in ordered], axis=-1)
    return Volume(data=data, affine=np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


def turned(volume: Volume) -> Volume:
    """The same voxels at the same places, with other axes: permuted, two of them flipped."""
    i, _, k = volume.shape
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (i - 1) + affine[:3, 2] * (k - 1)
    affine[:3, [0, 2]] *= -1
    return Volume(data=volume.data[::-1, :, ::-1].transpose(2, 0, 1), affine=affine[:, [2, 0, 1, 3]])


def drawing_of(series: list[Dataset], seed: int = 0) -> dict[str, NDArray[np.uint8]]:
    """A label without any symmetry: (row, column) values of the structure table by SOP instance UID."""
    values = np.random.default_rng(seed).choice(4, (len(series), ROWS, COLUMNS), p=(0.7, 0.15, 0.1, 0.05))
    return {str(image.SOPInstanceUID): value.astype(np.uint8) for image, value in zip(series, values, strict=True)}


def seg_by_hand(
    series: list[Dataset], drawing: dict[str, NDArray[np.uint8]], segments: dict[int, Dataset], *, kind: str = "BINARY"
) -> Dataset:
    """A SEG as software that is not ours writes it, with all planes of all segments.

    Args:
        series: Images that it lies on.
        drawing: Segment numbers by SOP instance UID.
        segments: Items of the Segment Sequence by number.
        kind: BINARY, FRACTIONAL or LABELMAP.
    """
    first, dataset = series[0], Dataset()
    dataset.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.66.{7 if kind == 'LABELMAP' else 4}"
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = "1.2.3.6", "1.2.3.7"
    dataset.Modality, dataset.FrameOfReferenceUID = "SEG", first.FrameOfReferenceUID
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = ROWS, COLUMNS, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.SegmentationType, bits = kind, 1 if kind == "BINARY" else 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    if kind == "FRACTIONAL":
        dataset.SegmentationFractionalType, dataset.MaximumFractionalValue = "OCCUPANCY", 255
    dataset.SegmentSequence = list(segments.values())
    dataset.ReferencedSeriesSequence = [item(SeriesInstanceUID=first.SeriesInstanceUID)]
    spacing = item(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
    orientation = item(ImageOrientationPatient=first.ImageOrientationPatient)
    dataset.SharedFunctionalGroupsSequence = [
        item(PlaneOrientationSequence=[orientation], PixelMeasuresSequence=[spacing])
    ]
    numbers = [0] if kind == "LABELMAP" else list(segments)
    frames = [(number, image) for number in numbers for image in series]
    dataset.NumberOfFrames = len(frames)
    dataset.PerFrameFunctionalGroupsSequence = [_frame(number, image) for number, image in frames]
    planes = [_stored(drawing[str(image.SOPInstanceUID)], number, kind) for number, image in frames]
    dataset.PixelData = pack_bits(np.stack(planes)) if kind == "BINARY" else np.stack(planes).tobytes() + b"\0"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    return dataset


def segment(number: int, label: str, code: str = "85756007", scheme: str = "SCT", region: str = "") -> Dataset:
    """Item of the Segment Sequence; the code of a tissue says nothing and is what viewers write by default."""
    kind = item(CodeValue=code, CodingSchemeDesignator=scheme, CodeMeaning="as it was chosen")
    found = item(SegmentNumber=number, SegmentLabel=label, SegmentedPropertyTypeCodeSequence=[kind])
    if region:
        found.AnatomicRegionSequence = [item(CodeValue=region, CodingSchemeDesignator="SCT", CodeMeaning="region")]
    return found


def _frame(number: int, image: Dataset) -> Dataset:
    source = item(ReferencedSOPClassUID=MR_IMAGE, ReferencedSOPInstanceUID=image.SOPInstanceUID)
    groups = item(
        PlanePositionSequence=[item(ImagePositionPatient=image.ImagePositionPatient)],
        DerivationImageSequence=[item(SourceImageSequence=[source])],
    )
    if number:
        groups.SegmentIdentificationSequence = [item(ReferencedSegmentNumber=number)]
    return groups


def _stored(values: NDArray[np.uint8], number: int, kind: str) -> NDArray[np.uint8]:
    if kind == "LABELMAP":
        return values
    return (values == number).astype(np.uint8) * (255 if kind == "FRACTIONAL" else 1)
