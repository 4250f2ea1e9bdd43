"""The same header from a data set, its DICOM JSON and its sidecar; a broken value is a missing one."""

import dataclasses
import io
import json
import warnings
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from lib.ingest.headers import (
    SeriesHeader,
    header_of_dataset,
    header_of_dicomweb,
    header_of_sidecar,
    seconds_between,
)

REAL = Path(__file__).parents[3] / "shared" / "data" / "dicom"

LAVA = {  # as dcm2niix writes it, and two keywords that it leaves out
    "Modality": "MR",
    "Manufacturer": "GE",
    "ManufacturersModelName": "SIGNA Premier",
    "BodyPart": "ABDOMEN",
    "MRAcquisitionType": "3D",
    "SeriesDescription": "WATER: BH Ax LAVA-Flex-3min",
    "ProtocolName": "KIDNEY",
    "ScanningSequence": "GR",
    "SequenceVariant": "SS\\SK",
    "ScanOptions": "SAT_GEMS\\EDR_GEMS",
    "SequenceName": "LAVA",
    "ImageType": ["DERIVED", "PRIMARY", "DIXON", "WATER", "MAGNITUDE"],
    "SeriesNumber": 12,
    "AcquisitionTime": "10:12:33.500000",
    "SliceThickness": 4,
    "EchoTime": 0.0019,
    "RepetitionTime": 0.0043,
    "FlipAngle": 15,
    "EchoTrainLength": 1,
    "ContrastBolusAgent": "Yes GD",
    "ContrastBolusStartTime": "10:09:30",
    "DiffusionBValue": 0,
}


@pytest.fixture
def lava() -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "MR", "GE MEDICAL SYSTEMS", "SIGNA Premier"
    ds.SeriesDescription, ds.ProtocolName = "WATER: BH Ax LAVA-Flex-3min", "KIDNEY"
    ds.BodyPartExamined, ds.MRAcquisitionType, ds.ScanningSequence = "ABDOMEN", "3D", "GR"
    ds.SequenceVariant, ds.ScanOptions = ["SS", "SK"], ["SAT_GEMS", "EDR_GEMS"]
    ds.ImageType = ["DERIVED", "PRIMARY", "DIXON", "WATER"]
    ds.SeriesNumber, ds.AcquisitionTime, ds.SliceThickness = 12, "101233.5", 4
    ds.EchoTime, ds.RepetitionTime, ds.FlipAngle, ds.EchoTrainLength = "1.9", "4.3", "15", 1
    ds.ContrastBolusAgent, ds.ContrastBolusStartTime = "Yes   GD", "100930"
    ds.PatientName, ds.PatientID = "Doe^Jane", "4711"
    ds.private_block(0x19, "GEMS_ACQU_01", create=True).add_new(0x9C, "LO", "LAVA")
    ds.private_block(0x43, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [1_000_000_000, 8, 0, 0])
    return ds


def saved(ds: Dataset) -> Dataset:
    """The data set as it comes back from a file."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.is_little_endian, ds.is_implicit_VR = True, False
    pydicom.dcmwrite(file := io.BytesIO(), ds)
    return pydicom.dcmread(io.BytesIO(file.getvalue()), force=True)


def test_three_ways_give_one_header(lava: Dataset) -> None:
    header = header_of_sidecar(LAVA)
    assert header_of_dataset(lava) == header
    assert header_of_dicomweb(lava.to_json_dict()) == header
    assert (header.tr_ms, header.te_ms, header.b_value) == (4.3, 1.9, 0)
    assert (header.scan_options, header.sequence_name) == (("SAT", "EDR"), "LAVA")
    assert seconds_between(header.contrast_time_s, header.acquisition_time_s) == 183.5


def test_a_sidecar_of_an_older_dcm2niix_gives_the_same_codes() -> None:
    older = {**LAVA, "ScanOptions": "SAT_GEMS_EDR_GEMS", "SequenceVariant": "SS_SK", "BodyPartExamined": "ABDOMEN"}
    del older["BodyPart"]
    assert header_of_sidecar(older) == header_of_sidecar(LAVA)


def test_it_holds_nobody(lava: Dataset) -> None:
    assert not any(word in str(header_of_dataset(lava)) for word in ("Doe", "Jane", "4711"))


def test_an_enhanced_image_is_read_from_its_functional_groups() -> None:
    ds, shared, timing, echo, diffusion = (Dataset() for _ in range(5))
    ds.Manufacturer, ds.PulseSequenceName = "Philips", "T1FFE"
    timing.RepetitionTime, timing.FlipAngle, timing.EchoTrainLength = 4.1, 10, 1
    shared.MRTimingAndRelatedParametersSequence = [timing]
    frame = Dataset()
    echo.EffectiveEchoTime = 1.4
    diffusion.DiffusionBValue = 800
    frame.MREchoSequence, frame.MRDiffusionSequence = [echo], [diffusion]
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], [frame, Dataset()]
    header = header_of_dataset(ds)
    assert (header.tr_ms, header.te_ms, header.flip_deg, header.b_value) == (4.1, 1.4, 10, 800)
    assert header.sequence_name == "T1FFE"
    assert header_of_dicomweb(ds.to_json_dict()) == header


def test_chinese_and_german_names_survive_their_character_sets() -> None:
    ds = Dataset()
    ds.SpecificCharacterSet, ds.SeriesDescription = "GB18030", "LAVA 动脉期"
    assert header_of_dataset(saved(ds)).series_description == "LAVA 动脉期"
    ds.SpecificCharacterSet, ds.SeriesDescription = "ISO_IR 100", "VIBE venös"
    assert header_of_dataset(saved(ds)).series_description == "VIBE venös"


def test_private_values_of_unknown_type_are_read() -> None:
    item = {
        "00080070": {"vr": "LO", "Value": ["GE MEDICAL SYSTEMS"]},
        "0019109C": {"vr": "UN", "InlineBinary": "ZnJmc2VvcHQ="},
    }
    assert header_of_dicomweb(item).sequence_name == "frfseopt"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("value", ["abc", "1e999", "", "\\", "4.3ms", "²"])
def test_a_broken_number_is_missing(value: str) -> None:
    raw = Dataset()
    raw.SeriesDescription = "t1_vibe"
    ds = saved(raw)
    ds[0x00180080] = pydicom.dataelem.RawDataElement(
        pydicom.tag.Tag(0x00180080), "DS", len(value), value.encode(), 0, False, True
    )
    header = header_of_dataset(ds)
    assert (header.tr_ms, header.series_description) == (None, "t1_vibe")
    assert header_of_sidecar({"RepetitionTime": value}).tr_ms is None


@pytest.mark.parametrize("time", ["250000", "1:2:3:4", "noon", [], None, {}, "-10"])
def test_a_broken_time_is_missing(time: object) -> None:
    assert header_of_sidecar({"AcquisitionTime": time}).acquisition_time_s is None


TEXT = st.text(alphabet="a1 .:\\_-+\0é动", max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(LAVA)), JSON))
def test_no_sidecar_stops_it(sidecar: dict[str, object]) -> None:
    assert isinstance(header_of_sidecar(sidecar), SeriesHeader)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["00180080", "00080008", "0008103E", "00080032", "52009229", "52009230"]), JSON))
def test_no_dicomweb_answer_stops_it(item: dict[str, object]) -> None:
    wrapped = {tag: {"vr": "LO", "Value": value} for tag, value in item.items()}
    assert isinstance(header_of_dicomweb(item), SeriesHeader)
    assert isinstance(header_of_dicomweb(wrapped), SeriesHeader)


def test_times_meet_over_midnight() -> None:
    assert seconds_between(86_390, 20) == 30
    assert seconds_between(20, 86_390) == -30
    assert seconds_between(None, 20) is None


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real DICOM slices is not on this machine")
@pytest.mark.parametrize("vendor", ["ge", "siemens", "philips", "uih"])
def test_real_slices_read_alike(vendor: str) -> None:
    ds = pydicom.dcmread(min((REAL / vendor).glob("*.dcm")), stop_before_pixels=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the files were made anonymous with values that DICOM does not allow
        header = header_of_dataset(ds)
        assert header_of_dicomweb(json.loads(json.dumps(ds.to_json_dict()))) == header
    assert header.tr_ms
    assert header.te_ms
    assert header.sequence_name
    assert dataclasses.asdict(header)["modality"] == "MR"
