"""Phantoms as a scanner would send them: classic MR series, one file a slice, with a made-up person's identity.

The identity is there to prove that import removes it, and the series are whole enough to fill a PACS. All of it
follows from the seed, the patient's number and the sequence: the same call writes the same bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from lib.domain.errors import BadCohortError
from lib.domain.sequences import SEQUENCES, get_sequence
from lib.phantom.cohort import FULL_SIZE, Case, Size, make_case
from lib.phantom.contrast import get_contrast

UID_PREFIX = "1.2.826.0.1.3680043.8.498."  # pydicom's own root, meant for anybody's use
_TO_LPS = np.array([-1.0, -1.0, 1.0])
_INJECTION_S = 10 * 3600 + 17 * 60 + 23.25  # time of the day
_BEFORE_S = 240.0  # how long each series before the injection takes
_INTO_DELAY = 0.3  # share of the usual delay after which a phase starts
_LOCALISER, _FIRST_SERIES = 1, 2
_FAMILY = ("Musterhausen", "Beispielsen", "Platzhalterin", "Attrappowski", "Probandsson", "Testimonia")
_GIVEN = ("Erika", "Xaver", "Quirina", "Yannik", "Zenobia", "Wendelin")
_PHYSICIANS = ("Ueberweiser^Bodo", "Hausarztin^Jorid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A made-up person with one visit; dates as DICOM writes them."""

    name: str
    patient_id: str
    birth_date: str
    sex: str
    age: str
    study_date: str
    accession: str
    physician: str
    institution: str


def make_identity(seed: int, patient: int, case: Case) -> Identity:
    """Make up who a phantom is: a name that no report may show, and an age and sex that fit the case."""
    number = seed * 100_003 + patient
    study = dt.date(2021, 3, 4) + dt.timedelta(days=number * 37 % 1200)
    age = int(case.record.clinical["age"])
    birth = dt.date(study.year - age - 1, 7, 1) + dt.timedelta(days=number * 53 % 180)
    return Identity(
        name=f"{_FAMILY[number % len(_FAMILY)]}{number}^{_GIVEN[number // 3 % len(_GIVEN)]}",
        patient_id=f"HN{7_300_000 + number}",
        birth_date=f"{birth:%Y%m%d}",
        sex=case.record.clinical["sex"],
        age=f"{age:03d}Y",
        study_date=f"{study:%Y%m%d}",
        accession=f"ACC{88_100_000 + number}",
        physician=_PHYSICIANS[number % len(_PHYSICIANS)],
        institution=f"Klinikum Beispielstadt, Zentrum {case.record.centre}",
    )


def series_datasets(case: Case, identity: Identity) -> list[Dataset]:
    """Turn a case into its slices, one data set each, in the order of the voxel axis k."""
    base = _series(case, identity)
    return [_slice(base, case, k) for k in range(case.image.shape[2])]


def localiser_datasets(case: Case, identity: Identity) -> list[Dataset]:
    """Three orthogonal slices through the middle of a case in one series, as every examination starts with."""
    base = _series(case, identity)
    base.SeriesDescription = base.ProtocolName = "3-plane localizer"
    base.SeriesNumber = _LOCALISER
    base.SeriesInstanceUID = _uid(identity, "localiser")
    base.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    base.SeriesTime = base.AcquisitionTime = base.ContentTime = _time(_INJECTION_S - 10 * _BEFORE_S)
    for name in ("ContrastBolusAgent", "ContrastBolusStartTime", "ContrastBolusVolume"):
        base.pop(name, None)
    return [_cut(base, case, axis) for axis in range(3)]


def save_series(datasets: Sequence[Dataset], folder: Path) -> list[Path]:
    """Write one file a slice, with names as on a disc from a scanner."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"IM{number:05d}.dcm" for number in range(1, len(datasets) + 1)]
    for dataset, path in zip(datasets, paths, strict=True):
        pydicom.dcmwrite(path, dataset, write_like_original=False)
    return paths


def generate_dicom(
    out: Path,
    *,
    patients: int,
    seed: int,
    sequences: Sequence[str] | None = None,
    vendors: Sequence[str] | None = None,
    size: Size = FULL_SIZE,
    unusual: float = 0.0,
    on_patient: Callable[[int], None] | None = None,
) -> int:
    """Write examinations as ``<out>/<number>/S<series>/IM*.dcm``: a localiser and one series a sequence.

    Args:
        out: Folder to write; new or empty.
        patients: How many.
        seed: Of everything.
        sequences: Codes to write; every one of SEQUENCES by default.
        vendors: Only scanners of these; None for the mix of the table.
        size: FULL_SIZE, or SMALL_SIZE for quick tests.
        unusual: As for ``make_patient``.
        on_patient: Called with the number of patients written so far.

    Returns:
        Number of files.

    Raises:
        BadCohortError: When the folder holds anything, or no scanner is from these vendors.
        UnknownSequenceError: When a table has no row with one of the codes.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        msg = "the folder for the phantoms is not empty; expected a new or an empty folder"
        raise BadCohortError(msg)
    files = 0
    for patient in range(patients):
        cases = [
            make_case(seed, patient, code, vendors=vendors, size=size, unusual=unusual)
            for code in sequences or SEQUENCES
        ]
        identity = make_identity(seed, patient, cases[0])
        folder = out / f"{patient:04d}"
        files += len(save_series(localiser_datasets(cases[0], identity), folder / f"S{_LOCALISER:02d}"))
        for case in cases:
            number = series_number(case.record.sequence)
            files += len(save_series(series_datasets(case, identity), folder / f"S{number:02d}"))
        if on_patient:
            on_patient(patient + 1)
    return files


def series_number(code: str) -> int:
    """Number of a sequence's series within an examination: in the order in which they are acquired."""
    return _FIRST_SERIES + sorted(SEQUENCES, key=_start_s).index(get_sequence(code).code)


def _start_s(code: str) -> float:
    """Time of the day at which a sequence starts."""
    delay = get_sequence(code).delay_s
    if delay is None:
        before = [other for other, row in SEQUENCES.items() if row.delay_s is None]
        return _INJECTION_S - _BEFORE_S * (1 + before.index(code))
    return _INJECTION_S + delay[0] + _INTO_DELAY * (delay[1] - delay[0])


def _series(case: Case, identity: Identity) -> Dataset:
    """What all slices of a series share."""
    code, sidecar = case.record.sequence, case.sidecar
    spin_echo = sidecar["ScanningSequence"] == "SE"
    dataset = _patient_and_study(identity)
    dataset.update(_scanner(case, identity))
    dataset.SeriesInstanceUID = _uid(identity, code)
    dataset.SeriesNumber = series_number(code)
    dataset.SeriesDescription = dataset.ProtocolName = str(sidecar["SeriesDescription"])
    dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = identity.study_date
    dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = _time(_start_s(code))
    dataset.ImageType = sidecar["ImageType"]
    dataset.ScanningSequence = sidecar["ScanningSequence"]
    dataset.SequenceVariant = "SK" if spin_echo else "SP"
    dataset.ScanOptions = ""
    dataset.MRAcquisitionType = sidecar["MRAcquisitionType"]
    dataset.RepetitionTime = _ds(float(str(sidecar["RepetitionTime"])) * 1000)
    dataset.EchoTime = _ds(float(str(sidecar["EchoTime"])) * 1000)
    dataset.FlipAngle = _ds(float(str(sidecar["FlipAngle"])))
    dataset.EchoTrainLength = 40 if spin_echo else 1
    dataset.AcquisitionNumber = 1
    dataset.ImagesInAcquisition = case.image.shape[2]
    if get_contrast(code).uptake_mm:
        dataset.ContrastBolusAgent = sidecar["ContrastBolusAgent"]
        dataset.ContrastBolusStartTime = _time(_INJECTION_S)
        dataset.ContrastBolusVolume = _ds(7.5)
    return dataset


def _patient_and_study(identity: Identity) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = identity.name
    dataset.PatientID = identity.patient_id
    dataset.PatientBirthDate = identity.birth_date
    dataset.PatientSex = identity.sex
    dataset.PatientAge = identity.age
    dataset.PatientWeight = _ds(81.0)
    dataset.StudyInstanceUID = _uid(identity, "study")
    dataset.FrameOfReferenceUID = _uid(identity, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.StudyID = identity.accession[-6:]
    dataset.StudyDate = identity.study_date
    dataset.StudyTime = _time(_INJECTION_S - 12 * _BEFORE_S)
    dataset.StudyDescription = f"MRT Niere {identity.name.partition('^')[0]}"
    dataset.AccessionNumber = identity.accession
    dataset.ReferringPhysicianName = identity.physician
    return dataset


def _scanner(case: Case, identity: Identity) -> Dataset:
    dataset = Dataset()
    dataset.Modality = "MR"
    dataset.SOPClassUID = MRImageStorage
    dataset.Manufacturer = str(case.sidecar["Manufacturer"])
    dataset.ManufacturerModelName = case.record.scanner_model
    dataset.MagneticFieldStrength = _ds(case.record.field_t)
    dataset.InstitutionName = identity.institution
    dataset.StationName = f"MR{identity.accession[-3:]}"
    dataset.SoftwareVersions = "phantom"
    dataset.BodyPartExamined = "ABDOMEN"
    dataset.PatientPosition = "HFS"
    return dataset


def _slice(base: Dataset, case: Case, k: int) -> Dataset:
    affine = case.image.affine
    place = _Place(
        origin=affine[:3, :3] @ (0, 0, k) + affine[:3, 3], along_row=affine[:3, 0], along_column=affine[:3, 1]
    )
    dataset = _image(base, case.image.data[:, :, k], place, number=k + 1)
    dataset.SliceThickness = _ds(float(str(case.sidecar["SliceThickness"])))
    dataset.SpacingBetweenSlices = _ds(float(np.linalg.norm(affine[:3, 2])))
    return dataset


def _cut(base: Dataset, case: Case, axis: int) -> Dataset:
    """The middle slice across one voxel axis."""
    affine, middle = case.image.affine, case.image.shape[axis] // 2
    one, two = (other for other in range(3) if other != axis)
    origin = affine[:3, axis] * middle + affine[:3, 3]
    place = _Place(origin=origin, along_row=affine[:3, one], along_column=affine[:3, two])
    dataset = _image(base, np.take(case.image.data, middle, axis=axis), place, number=axis + 1)
    dataset.SliceThickness = _ds(8.0)
    dataset.ImagesInAcquisition = 3
    return dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an image's first pixel lies, and the steps to its neighbours along a row and a column; RAS, in mm."""

    origin: NDArray[np.float64]
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]


def _image(base: Dataset, pixels: NDArray[np.generic], place: _Place, *, number: int) -> Dataset:
    """One image of a series; ``pixels`` has axes (column, row), as voxels have."""
    dataset = deepcopy(base)  # elements are mutable: slices must not share them
    steps = [float(np.linalg.norm(step)) for step in (place.along_row, place.along_column)]
    cosines = np.concatenate([place.along_row / steps[0] * _TO_LPS, place.along_column / steps[1] * _TO_LPS])
    dataset.SOPInstanceUID = generate_uid(UID_PREFIX, [base.SeriesInstanceUID, str(number)])
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient = [_ds(value) for value in place.origin * _TO_LPS]
    dataset.ImageOrientationPatient = [_ds(value) for value in cosines]
    dataset.PixelSpacing = [_ds(steps[1]), _ds(steps[0])]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Columns, dataset.Rows = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.SmallestImagePixelValue = int(pixels.min())
    dataset.LargestImagePixelValue = int(pixels.max())
    dataset.PixelData = np.ascontiguousarray(pixels.T).astype("<u2").tobytes()
    return _with_file_meta(dataset)


def _with_file_meta(dataset: Dataset) -> Dataset:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    return dataset


def _uid(identity: Identity, what: str) -> str:
    return generate_uid(UID_PREFIX, [identity.patient_id, identity.accession, what])


def _ds(value: float) -> str:
    return format_number_as_ds(float(value))


def _time(time_s: float) -> str:
    hours, rest = divmod(time_s, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{int(hours):02d}{int(minutes):02d}{seconds:09.6f}"
