"""Files are read with suspicion and written whole or not at all."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lib.domain.errors import BadImageError, BadLabelError
from lib.imaging.volume import Volume, image_stem, read_label, read_volume, write_bytes, write_volume

AFFINE = np.array([[-1.5, 0.1, 0, 90], [0, 1.4, 0, -80], [0.2, 0, 3, 12], [0, 0, 0, 1.0]])


def ramp(shape=(4, 5, 6), dtype=np.float32) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def save(path: Path, data: np.ndarray, affine=AFFINE) -> Path:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8])
def test_what_is_written_reads_back(tmp_path: Path, suffix: str, dtype: type) -> None:
    path = tmp_path / f"a{suffix}"
    write_volume(Volume(data=ramp(dtype=dtype), affine=AFFINE), path)
    back = read_volume(path)
    np.testing.assert_array_equal(back.data, ramp())
    np.testing.assert_allclose(back.affine, AFFINE, atol=1e-5)
    assert nib.load(path).get_data_dtype() == dtype
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path) -> None:
    volume = Volume(data=ramp(), affine=AFFINE)
    write_volume(volume, tmp_path / "a.nii.gz")
    write_volume(volume, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_text_named_as_an_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_text("not an image")
    with pytest.raises(BadImageError, match=r"not a NIfTI image.*expected \.nii"):
        read_volume(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match="does not exist"):
        read_volume(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("cut", [100, 340, 352, 400, -4])
def test_a_truncated_file_is_refused(tmp_path: Path, cut: int) -> None:
    whole = save(tmp_path / "a.nii", ramp()).read_bytes()
    (tmp_path / "a.nii").write_bytes(whole[:cut])
    with pytest.raises(BadImageError):
        read_volume(tmp_path / "a.nii")


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(20, 20, 20)))
    damaged = bytearray(path.read_bytes())
    damaged[5000:5040] = bytes(40)
    path.write_bytes(damaged)
    with pytest.raises(BadImageError):
        read_volume(path)


def test_four_axes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match=r"4 axes \(4, 5, 6, 2\); expected three"):
        read_volume(save(tmp_path / "a.nii", np.zeros((4, 5, 6, 2))))


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path: Path) -> None:
    assert read_volume(save(tmp_path / "a.nii", ramp()[..., None])).shape == (4, 5, 6)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_an_image_with_notes_in_its_header_reads(tmp_path: Path, kind: type[nib.Nifti1Image]) -> None:
    image = kind(np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"who made it, and how. " * 200))
    nib.save(image, tmp_path / "noted.nii.gz")
    assert np.array_equal(read_volume(tmp_path / "noted.nii.gz").data, image.get_fdata())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, bad: float) -> None:
    data = ramp()
    data[1, 1, 1] = bad
    with pytest.raises(BadImageError, match="1 voxels that are NaN or infinite"):
        read_volume(save(tmp_path / "a.nii", data))


def test_an_image_without_contrast_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match="every voxel of the image is 0"):
        read_volume(save(tmp_path / "a.nii", np.zeros((4, 5, 6))))


def test_an_affine_that_cannot_be_inverted_is_refused(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ramp(), np.eye(4))
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    image.header["srow_x"] = image.header["srow_y"] = [1, 0, 0, 0]
    (tmp_path / "a.nii").write_bytes(image.to_bytes())
    broken = bytearray((tmp_path / "a.nii").read_bytes())
    broken[280:296] = np.array([1, 0, 0, 0], "<f4").tobytes()
    broken[296:312] = np.array([1, 0, 0, 0], "<f4").tobytes()
    broken[254:256] = np.array(1, "<i2").tobytes()
    (tmp_path / "a.nii").write_bytes(broken)
    with pytest.raises(BadImageError, match="cannot be inverted"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize(("value", "shown"), [(4, "4"), (-1, "-1"), (1.5, "1.5"), (np.nan, "nan")])
def test_a_label_value_outside_the_table_is_refused(tmp_path: Path, value: float, shown: str) -> None:
    data = np.zeros((4, 5, 6))
    data[0, 0, 0] = value
    with pytest.raises(BadLabelError, match=rf"value {shown}; expected integers out of \[0, 1, 2, 3\]"):
        read_label(save(tmp_path / "a.nii", data))


def test_an_empty_label_is_a_label(tmp_path: Path) -> None:
    label = read_label(save(tmp_path / "a.nii", np.zeros((4, 5, 6))))
    assert label.data.dtype == np.uint8
    assert not label.data.any()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    write_bytes(b"old", path)

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_bytes(b"new", path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_message_never_holds_the_path(tmp_path: Path) -> None:
    path = tmp_path / "Miller_Anna.nii.gz"
    path.write_text("x")
    with pytest.raises(BadImageError) as caught:
        read_volume(path)
    assert "Miller" not in str(caught.value)
    assert image_stem(path) == "Miller_Anna"
