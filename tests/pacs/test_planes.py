"""Voxels travel by SOP instance UID: there and back exactly, whichever way series and file run."""

import numpy as np
import pytest

from lib.domain.errors import BadLabelError, GeometryError
from lib.imaging.volume import Grid, Volume, read_volume, write_volume
from lib.ingest.dicom_convert import convert
from lib.ingest.dicom_series import stacks_of
from lib.ingest.dicom_slices import scan_files
from lib.pacs.planes import ImagePlanes, PlanesFolder, label_of, planes_of_stack, shown, slices_of
from lib.phantom.dicom import save_series
from tests.ingest.series_planes import ORIENTATIONS, drawing_of, planes_in


@pytest.fixture(params=ORIENTATIONS)
def converted(request, tmp_path) -> tuple[list, ImagePlanes, Volume]:
    """A series, its planes, and the image file that it became."""
    images = planes_in(request.param)
    save_series(images, tmp_path / "in")
    (stack,) = stacks_of(scan_files(sorted((tmp_path / "in").iterdir()), lambda *_: None).slices)
    write_volume(convert(stack).volume, tmp_path / "image.nii.gz")
    return images, planes_of_stack("P1_CP", stack), read_volume(tmp_path / "image.nii.gz")


def grid_of(volume: Volume) -> Grid:
    return Grid(shape=volume.shape, affine=volume.affine)


def test_pixels_of_the_file_are_those_of_each_sop_instance(converted) -> None:
    images, planes, file = converted
    found = slices_of(Volume(data=(file.data % 251).astype(np.uint8), affine=file.affine), planes)
    assert list(found) == list(planes.keys)
    for image in images:
        np.testing.assert_array_equal(found[image.SOPInstanceUID], image.pixel_array % 251)


def test_what_is_drawn_on_the_sop_instances_comes_back_from_the_file(converted) -> None:
    images, planes, file = converted
    drawing = {str(uid): pixels for uid, pixels in drawing_of(images).items()}
    label = label_of(drawing, planes, grid_of(file))
    assert label.shape == file.shape
    back = slices_of(label, planes)
    for uid, pixels in back.items():
        np.testing.assert_array_equal(pixels, drawing.get(uid, np.zeros_like(pixels)))


def test_the_index_of_a_slice_is_its_place_in_the_file(converted) -> None:
    images, planes, file = converted
    told = shown(planes, grid_of(file))
    of_uid = {str(image.SOPInstanceUID): image for image in images}
    assert len({one["index"] for one in told["slices"]}) == len(images)
    for one in told["slices"]:
        plane = np.take(file.data, one["index"], axis=told["axis"])
        assert sorted(plane.ravel()) == sorted(of_uid[one["sop"]].pixel_array.ravel())


def test_a_slice_of_another_series_or_size_is_refused(converted) -> None:
    _, planes, file = converted
    rows, columns = planes.shape[1], planes.shape[0]
    for slices, reason in (
        ({"1.2.3": np.zeros((rows, columns), np.uint8)}, "none of the 7"),
        ({planes.keys[0]: np.zeros((columns, rows), np.uint8)}, "expected 9 rows and 11 columns"),
        ({planes.keys[0]: np.full((rows, columns), 300)}, "values 0 to 255"),
    ):
        with pytest.raises(BadLabelError, match=reason):
            label_of(slices, planes, grid_of(file))
    with pytest.raises(GeometryError):
        slices_of(Volume(data=np.zeros(file.shape, np.uint8), affine=file.affine + np.eye(4, k=3)), planes)


def test_planes_are_kept_for_the_next_start_and_only_for_us(converted, tmp_path) -> None:
    _, planes, _ = converted
    PlanesFolder(tmp_path / "planes").add(planes)
    again = PlanesFolder(tmp_path / "planes")
    assert again.find("P1_CP") == planes
    assert again.of_series(planes.series_uid) == [planes]
    (file,) = (tmp_path / "planes").iterdir()
    assert file.stat().st_mode & 0o077 == 0
