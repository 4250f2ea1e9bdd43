"""Examinations as DICOM files for the tests of import: small phantoms, changed as scanners and people change them."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from lib.phantom.cohort import Case, Size, make_case
from lib.phantom.dicom import Identity, make_identity, save_series, series_datasets

SIZE = Size(matrix=(32, 24, 8), fine_mm=(8.0, 8.0, 10.0))
SLICES = 8
SEED = 3


@lru_cache(maxsize=32)
def case_of(code: str, patient: int = 0, vendor: str = "Siemens") -> Case:
    return make_case(SEED, patient, code, vendors=[vendor], size=SIZE)


def identity_of(patient: int = 0) -> Identity:
    return make_identity(SEED, patient, case_of("CP", patient))


@lru_cache(maxsize=32)
def _series(code: str, patient: int, vendor: str) -> list[Dataset]:
    return series_datasets(case_of(code, patient, vendor), identity_of(patient))


def series(
    code: str, patient: int = 0, *, vendor: str = "Siemens", change: Callable[[Dataset], object] | None = None
) -> list[Dataset]:
    """The slices of one sequence, each changed if wanted."""
    slices = deepcopy(_series(code, patient, vendor))
    for dataset in slices:
        if change:
            change(dataset)
    return slices


def write(folder: Path, *several: Iterable[Dataset]) -> Path:
    """Write each series into a folder of its own."""
    for datasets in several:
        number = len(list(folder.iterdir())) if folder.exists() else 0
        save_series(list(datasets), folder / f"{number:02d}")
    return folder


def dynamic(*codes: str, patient: int = 0) -> list[Dataset]:
    """Phases of one acquisition in one series, as Siemens stores them: the first phase's voxels over 1, 2, 3 ..."""
    slices: list[Dataset] = []
    for number, code in enumerate(codes, start=1):
        start = series(code, patient)[0].AcquisitionTime
        for dataset in series(codes[0], patient):
            pixels = np.frombuffer(dataset.PixelData, "<u2") // number
            dataset.PixelData = pixels.astype("<u2").tobytes()
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{patient}.{len(slices)}"
            dataset.SeriesInstanceUID = f"1.2.3.{patient}"
            dataset.SeriesNumber = 9
            dataset.SeriesDescription = dataset.ProtocolName = "t1_vibe_fs_tra_dyn"
            dataset.AcquisitionTime = dataset.ContentTime = start
            dataset.TemporalPositionIdentifier, dataset.NumberOfTemporalPositions = number, len(codes)
            dataset.AcquisitionNumber = number
            dataset.InstanceNumber = len(slices) + 1
            slices.append(dataset)
    return slices


def enhanced(slices: list[Dataset]) -> Dataset:
    """The same slices as frames of one enhanced file."""
    first = slices[0]
    dataset = deepcopy(first)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    for keyword in (*_OF_PLANES, "ImagePositionPatient", "TemporalPositionIdentifier", "EchoTime", "RepetitionTime"):
        dataset.pop(keyword, None)
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=first.ImageOrientationPatient)],
        PixelMeasuresSequence=[item(**{name: first[name].value for name in _OF_PLANES[1:]})],
        MRTimingAndRelatedParametersSequence=[item(RepetitionTime=first.RepetitionTime, FlipAngle=first.FlipAngle)],
        MREchoSequence=[item(EffectiveEchoTime=float(first.EchoTime))],
        MRImageFrameTypeSequence=[item(FrameType=["ORIGINAL", "PRIMARY", "T1", "NONE"])],
    )
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [_frame(one, number) for number, one in enumerate(slices)]
    dataset.NumberOfFrames = len(slices)
    dataset.PixelData = b"".join(one.PixelData for one in slices)
    return dataset


_OF_PLANES = ("ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices")


def _frame(one: Dataset, number: int) -> Dataset:
    phase, place = one.get("TemporalPositionIdentifier", 1), number % SLICES + 1
    content = item(TemporalPositionIndex=phase, InStackPositionNumber=place, DimensionIndexValues=[place, phase])
    position = item(ImagePositionPatient=one.ImagePositionPatient)
    return item(PlanePositionSequence=[position], FrameContentSequence=[content])


def item(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset
