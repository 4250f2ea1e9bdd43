"""Sidecars are read leniently: one that is broken says nothing."""

import json
from pathlib import Path

import pytest

from lib.imaging.sidecar import read_sidecar

SIDECAR = {"Manufacturer": "GE", "SeriesDescription": "Ax LAVA"}


@pytest.mark.parametrize("text", ["", "[]", "{", "\udcff", "[" * 100_000])
def test_a_broken_sidecar_is_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "scan.json").write_text(text, errors="surrogateescape")
    assert read_sidecar(tmp_path / "scan.nii.gz") == {}


@pytest.mark.parametrize("image", ["scan.nii", "scan.nii.gz"])
def test_the_sidecar_beside_an_image_is_read(tmp_path: Path, image: str) -> None:
    (tmp_path / "scan.json").write_text(json.dumps(SIDECAR))
    assert read_sidecar(tmp_path / image) == SIDECAR
    assert read_sidecar(tmp_path / "other.nii.gz") == {}
