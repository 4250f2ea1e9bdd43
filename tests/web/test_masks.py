"""Labels by slice: exact whichever way series and file run, and refused unless every slice is there once."""

import gzip

import numpy as np
import pytest

from lib.domain.errors import BadLabelError, BadRequestError
from lib.imaging.volume import Grid, Volume
from lib.pacs.planes import ImagePlanes
from lib.web.masks import packed, unpacked, voxel

COLUMNS, ROWS, SLICES = SHAPE = (6, 5, 4)
KEYS = tuple(f"1.2.{number}" for number in range(SLICES))
TURNS = {  # the file's axes as columns of (column, row, slice)
    "as stored": np.diag([1.0, 1, 1]),
    "rows and slices the other way": np.diag([1.0, -1, -1]),
    "axes permuted": np.array([[0.0, 0, 1], [-1, 0, 0], [0, 1, 0]]),
}


@pytest.fixture(params=TURNS, name="turn")
def _turn(request) -> np.ndarray:
    return TURNS[request.param]


@pytest.fixture
def planes() -> ImagePlanes:
    affine = np.diag([1.5, 1.25, 3.0, 1.0])
    affine[:3, 3] = (-20, 7, 31)
    return ImagePlanes(
        image_id="P1_CP", study_uid="1", series_uid="1.2", keys=KEYS, shape=SHAPE, affine=tuple(affine.ravel())
    )


@pytest.fixture
def image(planes: ImagePlanes, turn: np.ndarray) -> Grid:
    """The image's file: the same voxels on turned axes."""
    shape = tuple(int(size) for size in np.abs(turn.T) @ SHAPE)
    corner = np.where(turn.T @ np.ones(3) < 0, 1, 0)
    to_series = np.eye(4)
    to_series[:3, :3] = turn
    to_series[:3, 3] = -turn @ (corner * (np.array(shape) - 1))
    return Grid(shape=shape, affine=planes.grid.affine @ to_series)


def drawing() -> np.ndarray:
    """Slices of rows of columns, no two alike."""
    return np.random.default_rng(5).integers(0, 4, (SLICES, ROWS, COLUMNS), np.uint8)


def test_what_is_drawn_comes_back_in_any_order_of_the_slices(planes: ImagePlanes, image: Grid) -> None:
    drawn, order = drawing(), [2, 0, 3, 1]
    label = unpacked(gzip.compress(drawn[order].tobytes()), [KEYS[number] for number in order], planes, image)
    assert label.shape == image.shape
    assert gzip.decompress(packed(label, planes)) == drawn.tobytes()


def test_a_click_is_the_voxel_that_was_drawn_on(planes: ImagePlanes, image: Grid) -> None:
    for key, row, column in ((0, 0, 0), (3, 1, 5), (1, 4, 2)):
        drawn = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
        drawn[key, row, column] = 2
        label = unpacked(gzip.compress(drawn.tobytes()), KEYS, planes, image)
        found = voxel({"key": KEYS[key], "row": row, "column": column}, planes, image)
        assert np.argwhere(label.data).tolist() == [found]


def test_a_click_off_the_image_is_refused(planes: ImagePlanes, image: Grid) -> None:
    for click in (
        {"key": "9.9", "row": 0, "column": 0},
        {"key": KEYS[0], "row": ROWS, "column": 0},
        {"key": KEYS[0], "row": -1, "column": 0},
        {"key": KEYS[0], "row": 0, "column": 1.5},
        {"key": KEYS[0], "row": True, "column": 0},
        {},
    ):
        with pytest.raises(BadRequestError, match="no slice of the image"):
            voxel(click, planes, image)


def test_slices_missing_doubled_or_of_another_series_are_refused(planes: ImagePlanes, image: Grid) -> None:
    whole = gzip.compress(drawing().tobytes())
    for keys in (KEYS[:-1], (*KEYS, KEYS[0]), (*KEYS[:-1], KEYS[0]), (*KEYS[:-1], "9.9"), ()):
        with pytest.raises(BadLabelError, match="expected each once"):
            unpacked(whole, keys, planes, image)


def test_a_payload_that_is_cut_or_unpacks_to_more_is_refused(planes: ImagePlanes, image: Grid) -> None:
    whole = drawing().tobytes()
    for payload in (b"", b"PK\3\4", gzip.compress(whole)[:-9], gzip.compress(whole[:-1]), gzip.compress(bytes(10**7))):
        with pytest.raises(BadLabelError, match="one byte a voxel"):
            unpacked(payload, KEYS, planes, image)


def test_the_same_label_packs_to_the_same_bytes(planes: ImagePlanes) -> None:
    label = Volume(data=np.ones(SHAPE, np.uint8), affine=planes.grid.affine)
    assert packed(label, planes) == packed(label, planes)
