"""Cases in memory, and cohort folders of them: the same seed is the same patient, whatever else is asked for.

Order of writing: images, sidecars and labels first, each by an atomic replace; ``cohort.csv`` last. A folder without
``cohort.csv`` is therefore a run that did not end.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.random import Generator

from lib.domain.cohort import format_cohort
from lib.domain.errors import BadCohortError
from lib.domain.records import CaseRecord
from lib.domain.sequences import SEQUENCES, get_sequence
from lib.imaging.volume import Volume, write_bytes, write_volume
from lib.phantom.acquisition import Plan, View, acquire, plan_image
from lib.phantom.anatomy import Anatomy, Point, draw_anatomy
from lib.phantom.contrast import Relaxation, draw_relaxation, get_contrast
from lib.phantom.raster import FINE_MM, Layers, fine_grid, rasterise
from lib.phantom.scanners import CentreSpec, ScannerSpec, draw_scanner
from lib.phantom.unusual import draw_unusual

# Streams of random numbers of one patient; the stream of an image is derived from its sequence code.
_ANATOMY, _SCANNER, _TISSUE, _UNUSUAL = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One image with all that is known about it."""

    image: Volume
    label: Volume
    record: CaseRecord
    sidecar: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What all images of one patient share."""

    patient_id: str
    anatomy: Anatomy
    centre: CentreSpec
    scanner: ScannerSpec
    relaxation: Relaxation


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large images are.

    Attributes:
        matrix: Voxels (i, j, k) over the usual field of view; None for the protocols' own.
        fine_mm: Voxels in which the anatomy is drawn.
    """

    matrix: tuple[int, int, int] | None = None
    fine_mm: Point = FINE_MM


FULL_SIZE = Size()
SMALL_SIZE = Size(matrix=(64, 56, 20), fine_mm=(4.0, 4.0, 6.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """What a case is made from, beside its number and sequence."""

    seed: int
    vendors: tuple[str, ...] | None
    size: Size
    unusual: float


def make_patient(seed: int, patient: int, *, vendors: Sequence[str] | None = None, unusual: float = 0.0) -> Patient:
    """Draw a patient and the scanner they go to; takes no time, since nothing is rasterised.

    Args:
        seed: Of the cohort.
        patient: Number of the patient, from 0.
        vendors: Only scanners of these; None for the mix of the table.
        unusual: Share of patients with no kidney, one, one in the pelvis or a transplant; the others do not change.

    Raises:
        BadCohortError: When no scanner is from these vendors, or the share is not between 0 and 1.
    """
    centre, scanner = draw_scanner(_stream(seed, patient, _SCANNER), None if vendors is None else tuple(vendors))
    anatomy = draw_anatomy(_stream(seed, patient, _ANATOMY))
    return Patient(
        patient_id=f"P{patient:04d}",
        anatomy=draw_unusual(_stream(seed, patient, _UNUSUAL), anatomy, unusual),
        centre=centre,
        scanner=scanner,
        relaxation=draw_relaxation(_stream(seed, patient, _TISSUE), scanner.field_t),
    )


def make_case(
    seed: int,
    patient: int,
    sequence: str,
    *,
    vendors: Sequence[str] | None = None,
    size: Size = FULL_SIZE,
    unusual: float = 0.0,
) -> Case:
    """Make one image with its label.

    Args:
        seed: Of the cohort.
        patient: Number of the patient, from 0.
        sequence: Code in SEQUENCES that has a row of contrast.
        vendors: Only scanners of these; None for the mix of the table.
        size: FULL_SIZE, or SMALL_SIZE for quick tests.
        unusual: As for ``make_patient``.

    Raises:
        UnknownSequenceError: When a table has no row with this code.
        BadCohortError: When no scanner is from these vendors.
    """
    return _make_case(_recipe(seed, vendors, size, unusual), patient, sequence)


def _recipe(seed: int, vendors: Sequence[str] | None, size: Size, unusual: float) -> _Recipe:
    return _Recipe(seed=seed, vendors=None if vendors is None else tuple(vendors), size=size, unusual=unusual)


def _make_case(recipe: _Recipe, patient: int, sequence: str) -> Case:
    get_sequence(sequence)
    person = make_patient(recipe.seed, patient, vendors=recipe.vendors, unusual=recipe.unusual)
    plan = plan_image(
        _stream(recipe.seed, patient, zlib.crc32(sequence.encode())),
        sequence=sequence,
        scanner=person.scanner,
        anatomy=person.anatomy,
        matrix=recipe.size.matrix,
    )
    layers = _layers(person.anatomy, plan.view, recipe.size.fine_mm)
    image, label = acquire(layers, plan, sequence=sequence, relaxation=person.relaxation)
    return Case(
        image=image,
        label=label,
        record=_record(person, sequence),
        sidecar=_sidecar(person, plan, sequence),
    )


def generate_cohort(
    out: Path,
    *,
    patients: int,
    seed: int,
    sequences: Sequence[str] | None = None,
    vendors: Sequence[str] | None = None,
    size: Size = FULL_SIZE,
    unusual: float = 0.0,
    workers: int = 1,
    on_patient: Callable[[int], None] | None = None,
) -> list[CaseRecord]:
    """Write a cohort folder.

    Args:
        out: Folder to write; new or empty.
        patients: How many.
        seed: Of everything.
        sequences: Codes to write; every one of SEQUENCES by default. The choice changes no image.
        vendors: Only scanners of these; None for the mix of the table.
        size: FULL_SIZE, or SMALL_SIZE for quick tests.
        unusual: As for ``make_patient``.
        workers: Processes to share the patients between; the number changes no image.
        on_patient: Called with the number of patients written so far.

    Returns:
        The rows of ``cohort.csv``.

    Raises:
        BadCohortError: When the folder holds anything, or the numbers make no cohort.
        UnknownSequenceError: When a table has no row with one of the codes.
    """
    codes = tuple(SEQUENCES if sequences is None else sequences)
    recipe = _recipe(seed, vendors, size, unusual)
    _check(out, patients, workers, codes)
    make_patient(seed, 0, vendors=vendors, unusual=unusual)  # refuses what it cannot draw before anything is written
    (out / "labels" / "final").mkdir(parents=True)
    rows: list[CaseRecord] = []
    for done, written in enumerate(_written(out, patients, recipe, codes, workers), start=1):
        rows += written
        if on_patient:
            on_patient(done)
    write_bytes(format_cohort(rows).encode(), out / "cohort.csv")
    return rows


def _check(out: Path, patients: int, workers: int, codes: tuple[str, ...]) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        msg = "the folder for the phantoms is not empty; expected a new or an empty folder"
        raise BadCohortError(msg)
    if patients < 1 or workers < 1 or not codes:
        msg = f"{patients} patients, {len(codes)} sequences, {workers} workers; expected at least one of each"
        raise BadCohortError(msg)
    for code in codes:
        get_sequence(code)
        get_contrast(code)


def _written(
    out: Path, patients: int, recipe: _Recipe, codes: tuple[str, ...], workers: int
) -> Iterable[list[CaseRecord]]:
    """Write the patients in any order, and hand back their rows in order."""
    if workers == 1:
        yield from (_write_patient(out, recipe, patient, codes) for patient in range(patients))
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_write_patient, [out] * patients, [recipe] * patients, range(patients), [codes] * patients)


def _write_patient(out: Path, recipe: _Recipe, patient: int, codes: tuple[str, ...]) -> list[CaseRecord]:
    records = []
    for code in codes:
        case = _make_case(recipe, patient, code)
        image_id = case.record.image_id
        write_volume(case.label, out / "labels" / "final" / f"{image_id}.nii.gz")
        write_bytes(f"{json.dumps(case.sidecar, indent=2)}\n".encode(), out / f"{image_id}.json")
        write_volume(case.image, out / f"{image_id}.nii.gz")
        records.append(case.record)
    return records


@lru_cache(maxsize=2)
def _layers(anatomy: Anatomy, view: View, fine_mm: Point) -> Layers:
    """Rasterise once per view: most patients have five axial images."""
    return rasterise(anatomy, fine_grid(anatomy, view, fine_mm))


def _stream(seed: int, patient: int, stream: int) -> Generator:
    return np.random.default_rng([seed, patient, stream])


def _record(person: Patient, sequence: str) -> CaseRecord:
    anatomy, scanner = person.anatomy, person.scanner
    largest = anatomy.masses[0] if anatomy.masses else None
    clinical = {
        "age": str(anatomy.age),
        "sex": anatomy.sex,
        "mass_count": str(len(anatomy.masses)),
        "size_mm": f"{largest.size_mm:.1f}" if largest else "",
        "histology": largest.tissue if largest else "",
        "side": largest.side if largest else "",
        "cyst_count": str(len(anatomy.cysts)),
    }
    return CaseRecord(
        image_id=f"{person.patient_id}_{sequence}",
        patient_id=person.patient_id,
        sequence=sequence,
        centre=person.centre.name,
        vendor=scanner.vendor,
        scanner_model=scanner.model,
        field_t=scanner.field_t,
        clinical=clinical,
    )


def _sidecar(person: Patient, plan: Plan, sequence: str) -> dict[str, object]:
    """What dcm2niix would write: times in seconds, directions in DICOM's LPS."""
    scanner = person.scanner
    voxel = np.linalg.norm(plan.affine[:3, :3], axis=0)
    directions = (plan.affine[:3, :2] / voxel[:2]).T * np.array([-1, -1, 1])
    sidecar: dict[str, object] = {
        "Modality": "MR",
        "MagneticFieldStrength": plan.field_t,
        "Manufacturer": scanner.manufacturer,
        "ManufacturersModelName": scanner.model,
        "InstitutionName": f"Centre {person.centre.name}",
        "PatientPosition": "HFS",
        "BodyPartExamined": "ABDOMEN",
        "SeriesDescription": _description(person, plan, sequence),
        "MRAcquisitionType": plan.slices,
        "ScanningSequence": "GR" if plan.kind == "spoiled" else "SE",
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "RepetitionTime": round(plan.tr_ms / 1000, 6),
        "EchoTime": round(plan.te_ms / 1000, 6),
        "FlipAngle": round(plan.flip_deg, 1),
        "SliceThickness": round(plan.slice_mm, 3),
        "SpacingBetweenSlices": round(float(voxel[2]), 3),
        "ImageOrientationPatientDICOM": [round(float(value), 6) for value in directions.ravel()],
        "ConversionSoftware": "renal-loop phantom",
    }
    if get_contrast(sequence).uptake_mm:
        sidecar["ContrastBolusAgent"] = "GADOBUTROL"
    return sidecar


def _description(person: Patient, plan: Plan, sequence: str) -> str:
    """A series description in the vendor's words, e.g. ``Ax LAVA FatSat arterial``."""
    scanner, names = person.scanner, get_contrast(sequence).names
    choice = plan.seed[0]
    weighting = get_sequence(sequence).weighting.lower()
    spoiled = scanner.spoiled if plan.slices == "3D" else scanner.two_echoes
    trade = spoiled if plan.kind == "spoiled" else scanner.spin_echo[choice % len(scanner.spin_echo)]
    view = {"axial": ("Ax", "tra"), "coronal": ("Cor", "cor")}[plan.view][scanner.vendor != "GE"]
    phase = names[choice % len(names)] if names else ""
    fat = {"suppressed": scanner.suppression, "opposed": "opp", "bright": ""}[plan.fat]
    words = (view, weighting, trade, fat, phase) if scanner.vendor == "GE" else (weighting, trade, view, fat, phase)
    return " ".join(word for word in words if word)
