"""Measurements of masses as DICOM SR (TID 1500), each with the segment of the SEG that it was taken from.

Written are, per mass: tracking id, the finding, kidney and side, volume, long axis and short axis. The volume is the
sum of the voxels' volumes. The long axis is the largest distance between two voxel centres, in any direction, plus
one mean voxel edge; the short axis the same, seen along the long axis (``lib.imaging.lesions``).
"""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.seg import Segmentation
from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    ReferencedSegment,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset

from lib.domain.errors import BadLabelError
from lib.domain.structures import KIDNEY_REGION, MASS, SIDES, STRUCTURES
from lib.imaging.volume import Volume
from lib.ingest.dicom_masses import TrackedMass, tracked_masses
from lib.ingest.dicom_origin import APP, EQUIPMENT, Origin, codes, uid_of
from lib.ingest.dicom_planes import Planes, lay_on, planes_of
from lib.ingest.dicom_slices import quiet_pydicom
from lib.ingest.dicomseg_codes import concept

_SERIES_OFFSET = 9500  # an SR's series number: the source's and this
_ML_DECIMALS, _MM_DECIMALS = 3, 1
_MASS = next(row for row in STRUCTURES.values() if row.value == MASS)


def write_sr(label: Volume, seg: Segmentation, series: Sequence[Dataset], *, origin: Origin) -> ComprehensiveSR | None:
    """Write the measurements of a label's masses.

    Args:
        label: The label that the SEG was made from.
        seg: Made from it by ``write_seg`` with ``each_mass``.
        series: The images that both lie on.
        origin: Who made the label.

    Returns:
        The report; None when the label holds no mass, since a report of measurements needs one.

    Raises:
        BadLabelError: When the SEG does not have one segment for each mass of the label.
        BadDicomError: When the images are not one whole volume.
        GeometryError: When the label does not lie on them.
    """
    planes = planes_of(series)
    masses = tracked_masses(lay_on(label, planes.grid), planes.series_uid)
    if not masses:
        return None
    with quiet_pydicom():
        return _written(seg, planes, [_measurements(mass, seg, origin) for mass in masses], origin)


def _written(
    seg: Segmentation,
    planes: Planes,
    groups: Sequence[VolumetricROIMeasurementsAndQualitativeEvaluations],
    origin: Origin,
) -> ComprehensiveSR:
    report = MeasurementReport(
        observation_context=_context(origin),
        procedure_reported=codes.cid100.MRIUnspecifiedBodyRegion,
        imaging_measurements=groups,
    )
    content = (seg.SOPInstanceUID, repr(origin))
    written = ComprehensiveSR(
        evidence=[seg, *planes.images],
        content=report,
        series_instance_uid=uid_of("sr series", *content),
        series_number=_SERIES_OFFSET + (planes.slices[0].series_number or 0),
        sop_instance_uid=uid_of("sr", *content),
        instance_number=1,
        is_complete=True,
        is_final=bool(origin.reader),
        series_description=f"Renal masses, {'label' if origin.reader else 'proposal'}",
        **EQUIPMENT,
    )
    origin.stamp(written)
    return written


def _measurements(mass: TrackedMass, seg: Segmentation, origin: Origin) -> MeasurementReport:
    side = SIDES.get(mass.measured.side)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=mass.tracking_uid, identifier=mass.tracking_id),
        referenced_segment=ReferencedSegment.from_segmentation(seg, segment_number=_segment_of(mass, seg)),
        finding_category=concept(_MASS.category),
        finding_type=concept(_MASS.kind),
        finding_sites=[
            FindingSite(anatomic_location=concept(KIDNEY_REGION), laterality=concept(side) if side else None)
        ],
        algorithm_id=_algorithm(origin),
        measurements=[
            Measurement(
                name=codes.SCT.Volume,
                value=round(mass.measured.volume_ml, _ML_DECIMALS),
                unit=codes.UCUM.CubicCentimeter,
                method=codes.cid7474.SumOfSegmentedVoxelVolumes,
            ),
            _axis(codes.SCT.LongAxis, mass.measured.diameter_mm),
            _axis(codes.SCT.ShortAxis, mass.short_axis_mm),
        ],
    )


def _axis(name: object, length_mm: float) -> Measurement:
    return Measurement(name=name, value=round(length_mm, _MM_DECIMALS), unit=codes.UCUM.Millimeter)


def _segment_of(mass: TrackedMass, seg: Dataset) -> int:
    for item in seg.SegmentSequence:
        if item.get("TrackingUID") == mass.tracking_uid:
            return int(item.SegmentNumber)
    msg = f"the SEG has no segment of mass {mass.number} alone; expected one made from this label, each mass a segment"
    raise BadLabelError(msg)


def _algorithm(origin: Origin) -> AlgorithmIdentification | None:
    if not origin.model_version:
        return None
    return AlgorithmIdentification(name=origin.model or APP, version=origin.model_version)


def _context(origin: Origin) -> ObservationContext:
    device = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=uid_of("device", APP), name=APP, manufacturer_name=APP, model_name=APP
        ),
    )
    if not origin.person_name:
        return ObservationContext(observer_device_context=device)
    person = ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=PersonObserverIdentifyingAttributes(name=origin.person_name),
    )
    return ObservationContext(observer_person_context=person, observer_device_context=device)
