"""SEGs of other software: taken by name and code, and only if nothing speaks against their lying on the series."""

from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixel_data_handlers.rle_handler import rle_encode_frame
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from lib.domain.errors import BadDicomError, BadLabelError
from lib.domain.structures import CYST, KIDNEY, MASS
from lib.ingest.dicomseg_read import read_seg
from tests.ingest.series_planes import (
    COLUMNS,
    ORIENTATIONS,
    ROWS,
    SPACING_MM,
    drawing_of,
    planes_in,
    seg_by_hand,
    segment,
    volume_on,
)

NAME = "oblique"
OHIF = {1: segment(1, "kidney"), 2: segment(2, "mass"), 3: segment(3, "cyst")}
Change = Callable[[Dataset], object]


def foreign(
    segments: dict[int, Dataset] | None = None, *, name: str = NAME, kind: str = "BINARY"
) -> tuple[list[Dataset], Dataset]:
    images = planes_in(name)
    return images, seg_by_hand(images, drawing_of(images), segments or OHIF, kind=kind)


def orientation_of(seg: Dataset) -> Dataset:
    return seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]


def positions_of(seg: Dataset) -> list[Dataset]:
    return [groups.PlanePositionSequence[0] for groups in seg.PerFrameFunctionalGroupsSequence]


def sources_of(seg: Dataset) -> list[Dataset]:
    groups = seg.PerFrameFunctionalGroupsSequence
    return [one.DerivationImageSequence[0].SourceImageSequence[0] for one in groups]


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_each_kind_is_read_voxel_by_voxel(name: str, kind: str) -> None:
    images, seg = foreign(name=name, kind=kind)
    found = read_seg(seg, images[::-1])
    expected = volume_on(images, name, drawing_of(images))
    np.testing.assert_array_equal(found.label.data, expected.data[:, :, :: _direction(found.label.affine, expected)])
    assert (found.drawn, found.overlaps) == ({"kidney", "mass", "cyst"}, 0)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_packed_bits_that_are_compressed_frame_by_frame_are_read(name: str) -> None:
    images, seg = foreign(name=name)
    expected = read_seg(seg, images).label.data
    packed = np.packbits(seg.pixel_array.reshape(seg.NumberOfFrames, -1), axis=1, bitorder="little")
    seg.PixelData = encapsulate([rle_encode_frame(frame[None]) for frame in packed])
    seg["PixelData"].is_undefined_length = True
    seg.file_meta.TransferSyntaxUID = RLELossless
    np.testing.assert_array_equal(read_seg(seg, images).label.data, expected)


def _direction(affine: np.ndarray, expected: object) -> int:
    """1 when both run the same way from plane to plane, else -1."""
    return int(np.sign(affine[:3, 2] @ expected.affine[:3, 2]))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("item", "structure"),
    [
        (segment(2, "Segment 1", "64033007"), "kidney"),
        (segment(2, "Left Kidney", "T-71000", "SRT"), "kidney"),  # dcmqi's older codes
        (segment(2, "kidney_right", "9846003"), "kidney"),
        (segment(2, "Tumour", "T-D0050", "SRT"), "mass"),  # OHIF's own code says nothing
        (segment(2, "Renal mass 1", "4147007", region="64033007"), "mass"),
        (segment(2, "M-1", "M-03000", "SRT"), "mass"),
        (segment(2, "neoplasm", "108369006"), "mass"),
        (segment(2, "kidneyTumor", "85756007"), "mass"),
        (segment(2, "RCC", "49755003"), "mass"),
        (segment(2, "cystic mass", "85756007"), "mass"),
        (segment(2, "Renal_Cyst-3", "85756007"), "cyst"),
        (segment(2, "x", "367643001", region="64033007"), "cyst"),
    ],
)
def test_a_segment_is_known_by_its_code_or_its_name(item: Dataset, structure: str) -> None:
    images, seg = foreign({2: item})
    found = read_seg(seg, images)
    assert found.drawn == {structure}
    value = {"kidney": KIDNEY, "mass": MASS, "cyst": CYST}[structure]
    drawing = np.stack(list(drawing_of(images).values()))
    assert np.count_nonzero(found.label.data == value) == np.count_nonzero(drawing == 2)


@pytest.mark.parametrize(
    "item",
    [
        segment(2, "Segment 1"),
        segment(2, "mass", "10200004"),  # a liver's code
        segment(2, "liver lesion"),
        segment(2, "mass", "4147007", region="41216001"),  # in the prostate
        segment(2, "Quirina Beispiel"),
    ],
)
def test_a_segment_of_something_else_is_refused_unless_it_is_empty(item: Dataset) -> None:
    images, seg = foreign({2: item})
    with pytest.raises(BadLabelError, match="segment 2 is none of") as refused:
        read_seg(seg, images)
    assert "Beispiel" not in str(refused.value)
    empty = seg_by_hand(images, drawing_of(images), {9: segment(9, "Segment 1"), 2: segment(2, "mass")})
    assert read_seg(empty, images).drawn == {"mass"}


@pytest.mark.parametrize("item", [segment(2, "kidney", "4147007"), segment(2, "cyst or mass")])
def test_a_segment_that_contradicts_itself_is_refused(item: Dataset) -> None:
    images, seg = foreign({2: item})
    with pytest.raises(BadLabelError, match="by its code and name"):
        read_seg(seg, images)


def test_a_segment_without_voxels_counts_as_drawn() -> None:
    images = planes_in(NAME)
    nothing = {uid: values * 0 for uid, values in drawing_of(images).items()}
    found = read_seg(seg_by_hand(images, nothing, {2: segment(2, "mass")}), images)
    assert (found.drawn, found.label.data.any()) == ({"mass"}, False)


def test_where_segments_overlap_the_mass_stays_then_the_cyst() -> None:
    images = planes_in(NAME)
    drawing = {uid: np.ones_like(values) for uid, values in drawing_of(images).items()}
    seg = seg_by_hand(images, drawing, OHIF)
    frames = len(images) * ROWS * COLUMNS
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    bits[frames : frames + 5], bits[2 * frames + 3 : 2 * frames + 9] = 1, 1  # masses and cysts, over the kidney
    seg.PixelData = np.packbits(bits, bitorder="little").tobytes()
    found = read_seg(seg, images)
    values, counts = np.unique(found.label.data, return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {KIDNEY: frames - 9, MASS: 5, CYST: 4}
    assert found.overlaps == 9


def test_two_segments_of_one_structure_are_joined() -> None:
    images, seg = foreign({1: segment(1, "left kidney"), 2: segment(2, "right kidney")})
    drawing = np.stack(list(drawing_of(images).values()))
    found = read_seg(seg, images)
    assert np.count_nonzero(found.label.data == KIDNEY) == np.count_nonzero((drawing == 1) | (drawing == 2))


@pytest.mark.parametrize("dropped", ["PlanePositionSequence", "DerivationImageSequence"])
def test_a_position_or_an_image_is_enough(dropped: str) -> None:
    images, seg = foreign()
    expected = read_seg(seg, images).label.data
    for groups in seg.PerFrameFunctionalGroupsSequence:
        del groups[dropped]
    np.testing.assert_array_equal(read_seg(seg, images).label.data, expected)


def mirror_rows(seg: Dataset) -> None:
    values = orientation_of(seg).ImageOrientationPatient
    orientation_of(seg).ImageOrientationPatient = [*(-value for value in values[:3]), *values[3:]]


def mirror_columns(seg: Dataset) -> None:
    values = orientation_of(seg).ImageOrientationPatient
    orientation_of(seg).ImageOrientationPatient = [*values[:3], *(-value for value in values[3:])]


def half_turn(seg: Dataset) -> None:
    orientation_of(seg).ImageOrientationPatient = [-value for value in orientation_of(seg).ImageOrientationPatient]


def transpose(seg: Dataset) -> None:
    values = orientation_of(seg).ImageOrientationPatient
    orientation_of(seg).ImageOrientationPatient = [*values[3:], *values[:3]]


def tilt(seg: Dataset) -> None:
    orientation_of(seg).ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


def start_at_last_column(seg: Dataset) -> None:
    row = np.array(orientation_of(seg).ImageOrientationPatient[:3], float) * SPACING_MM[0] * (COLUMNS - 1)
    move(seg, row)


def move(seg: Dataset, step_mm: np.ndarray) -> None:
    for place in positions_of(seg):
        place.ImagePositionPatient = [
            round(float(a) + b, 6) for a, b in zip(place.ImagePositionPatient, step_mm, strict=True)
        ]


def reverse_images(seg: Dataset) -> None:
    """Frames keep their positions and refer to the images from the other end, as a flipped export does."""
    by_depth = sorted({tuple(map(float, one.ImagePositionPatient)) for one in positions_of(seg)})
    uid = {
        tuple(map(float, place.ImagePositionPatient)): source.ReferencedSOPInstanceUID
        for place, source in zip(positions_of(seg), sources_of(seg), strict=True)
    }
    other = dict(zip(by_depth, by_depth[::-1], strict=True))
    for place, source in zip(positions_of(seg), sources_of(seg), strict=True):
        source.ReferencedSOPInstanceUID = uid[other[tuple(map(float, place.ImagePositionPatient))]]


def swap_two_images(seg: Dataset) -> None:
    first, second = sources_of(seg)[:2]
    first.ReferencedSOPInstanceUID, second.ReferencedSOPInstanceUID = (
        second.ReferencedSOPInstanceUID, first.ReferencedSOPInstanceUID,
    )  # fmt: skip


def refer_elsewhere(seg: Dataset) -> None:
    for source in sources_of(seg):
        source.ReferencedSOPInstanceUID = "1.2.99"


def drop_places(seg: Dataset) -> None:
    for groups in seg.PerFrameFunctionalGroupsSequence:
        del groups.PlanePositionSequence, groups.DerivationImageSequence


def repeat_a_frame(seg: Dataset) -> None:
    groups = seg.PerFrameFunctionalGroupsSequence
    seg.PerFrameFunctionalGroupsSequence = Sequence([groups[0], groups[0], *groups[2:]])


def scale(seg: Dataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.9, 1.3]


REFUSED: dict[str, tuple[Change, str]] = {
    "rows mirrored": (mirror_rows, "frame 1 contradicts the series.*mirrored left to right"),
    "columns mirrored": (mirror_columns, "mirrored top to bottom"),
    "turned by half": (half_turn, "half a turn"),
    "transposed": (transpose, "rows run along the columns"),
    "tilted": (tilt, "turned by 3[0-9].[0-9] degrees"),
    "origin at the other end": (start_at_last_column, "starts at the last column.*mirrored"),
    "slices flipped": (reverse_images, "18 of 21 frames .* order of the slices were reversed: it is flipped"),
    "two slices swapped": (swap_two_images, "2 of 21 frames lie on another plane than the image"),
    "shifted": (lambda seg: move(seg, np.array([0.0, 0.0, 1.0])), "1.0 mm away from every image"),
    "images of another series": (refer_elsewhere, "1 images and none is of the series"),
    "another series": (
        lambda seg: setattr(seg.ReferencedSeriesSequence[0], "SeriesInstanceUID", "1.2.98"), "drawn on another",
    ),
    "other coordinates": (lambda seg: setattr(seg, "FrameOfReferenceUID", "1.2.97"), "frame of reference"),
    "no coordinates": (lambda seg: delattr(seg, "FrameOfReferenceUID"), "frame of reference"),
    "no orientation": (
        lambda seg: delattr(seg.SharedFunctionalGroupsSequence[0], "PlaneOrientationSequence"), "how it is oriented",
    ),
    "no place": (drop_places, "no position and refers to no images"),
    "other pixels": (scale, "pixels of 0.9 x 1.3 mm; expected 0.9 x 1.25 mm"),
    "other size": (lambda seg: setattr(seg, "Rows", ROWS + 1), "10 rows and 11 columns"),
    "twice on one plane": (repeat_a_frame, "2 frames of segment 1 lie on plane"),
    "a segment not described": (lambda seg: seg.SegmentSequence.pop(0), "segment 1, which is not described"),
    "frames missing": (lambda seg: setattr(seg, "NumberOfFrames", 20), "describes 21 frames and has 20"),
    "pixels missing": (lambda seg: setattr(seg, "PixelData", seg.PixelData[:-8]), "cannot be read"),
    "no segments": (lambda seg: delattr(seg, "SegmentSequence"), "cannot be read"),
    "an image": (lambda seg: setattr(seg, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.4"), "expected a DICOM SEG"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_seg_that_does_not_prove_to_lie_on_the_series_is_refused_with_the_reason(case: str) -> None:
    change, reason = REFUSED[case]
    images, seg = foreign()
    read_seg(seg, images)
    change(seg)
    with pytest.raises(BadDicomError, match=reason):
        read_seg(seg, images)


def test_probabilities_are_refused() -> None:
    images, seg = foreign(kind="FRACTIONAL")
    seg.PixelData = seg.PixelData.replace(b"\xff", b"\x80", 3)
    with pytest.raises(BadDicomError, match="3 pixels lie between 0 and 1"):
        read_seg(seg, images)


def test_a_label_map_with_a_number_that_is_not_described_is_refused() -> None:
    images, seg = foreign({1: segment(1, "kidney"), 2: segment(2, "mass")}, kind="LABELMAP")
    with pytest.raises(BadLabelError, match="segment 3 is none of"):
        read_seg(seg, images)
