"""Real MR through the command line and the server: proposals on the image's grid, overlays to look at."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from monailabel.client import MONAILabelClient

from lib.cli.predict import predict
from lib.imaging.overlay import save_overlay
from lib.imaging.volume import read_label, read_volume
from tests.e2e.conftest import Server

SHARED = Path(__file__).parents[3] / "shared" / "data" / "real_mr"
PICTURES = Path(os.environ.get("RENAL_LOOP_TEST_PICTURES", Path(__file__).parents[2] / "tests-out" / "real_mr"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Exception ignored in.*socket"),  # MONAI Label's client leaves them to the
    pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning"),  # garbage collector
    pytest.mark.skipif(not SHARED.is_dir(), reason="the folder of real MR images is not on this machine"),
]
IMAGES = {
    "S02_T1WI": "renal_compartment/S02V01_T1W.nii.gz",
    "S02_T2WI": "renal_compartment/S02V01_T2W.nii.gz",
    "S03_T1WI": "renal_compartment/S03V01_T1W.nii.gz",
    "S03_T2WI": "renal_compartment/S03V01_T2W.nii.gz",
    "slab": "totalsegmentator/example_mr_sm.nii.gz",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (images := tmp_path / "real").mkdir()
    for name, source in IMAGES.items():
        (images / f"{name}.nii.gz").symlink_to(SHARED / source)
    return images


def test_every_real_image_gets_a_proposal_on_its_own_grid(folder: Path, tmp_path: Path) -> None:
    predict(folder, out=tmp_path / "out")
    table = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert not table["failed"]
    assert table["images"]["S02_T2WI"]["sequence"]["source"] == "filename"
    assert table["images"]["slab"]["sequence"]["source"] == "image"
    for name in IMAGES:
        image, label = read_volume(folder / f"{name}.nii.gz"), read_label(tmp_path / "out" / f"{name}.nii.gz")
        assert label.shape == image.shape
        np.testing.assert_allclose(label.affine, image.affine, atol=1e-3)
        save_overlay(image, label, PICTURES / f"{name}.png", name)
        assert (PICTURES / f"{name}.png").stat().st_size > 10_000


def test_the_server_takes_an_uploaded_real_image(server: Server, folder: Path) -> None:
    client = MONAILabelClient(server.url)
    path, reply = client.infer("segment_t2wi", "", {}, file=str(folder / "S02_T2WI.nii.gz"))
    assert read_label(Path(path)).shape == read_volume(folder / "S02_T2WI.nii.gz").shape
    assert reply["sequence"]["code"] == "T2WI"
