"""Bad input gets a clear 4xx, nothing is written, and the server goes on."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests

from tests.e2e.conftest import Server

pytestmark = pytest.mark.slow

BAD_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "text": (lambda path: path.write_text("hello") and None, "not a NIfTI image"),
    "four axes": (lambda path: save(path, np.ones((8, 8, 8, 3))), "4 axes"),
    "NaN": (lambda path: save(path, np.full((8, 8, 8), np.nan)), "NaN"),
    "empty": (lambda path: save(path, np.zeros((8, 8, 8))), "every voxel of the image is 0"),
}


def save(path: Path, data: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(data.astype(np.float32), np.eye(4)), path)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*.json")} | {
        str(path): b"" for path in folder.rglob("*") if path.is_file()
    }


def refused(answer: requests.Response, status: int, said: str) -> None:
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("kind", BAD_FILES)
def test_an_uploaded_image_that_cannot_be_used(server: Server, tmp_path: Path, kind: str) -> None:
    write, said = BAD_FILES[kind]
    write(path := tmp_path / "upload.nii.gz")
    with path.open("rb") as file:
        answer = requests.post(f"{server.url}/infer/segment_cp", files={"file": ("upload.nii.gz", file)}, timeout=60)
    refused(answer, 400, said)
    assert requests.get(f"{server.url}/info/", timeout=30).ok


@pytest.mark.parametrize("kind", ["text", "four axes", "NaN"])
def test_a_label_that_cannot_be_used(server: Server, tmp_path: Path, kind: str) -> None:
    BAD_FILES[kind][0](path := tmp_path / "label.nii.gz")
    before = files(server.studies)
    with path.open("rb") as file:
        answer = requests.put(
            f"{server.url}/datastore/label?image=P0003_DP", files={"label": ("l.nii.gz", file)}, timeout=60
        )
    assert answer.status_code == 400, answer.text
    assert "expected" in answer.json()["detail"]
    assert files(server.studies) == before


def test_a_label_on_another_grid(server: Server, tmp_path: Path) -> None:
    image = nib.load(server.studies / "P0003_DP.nii.gz")
    shifted = image.affine.copy()
    shifted[:3, 3] += 3
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), shifted), tmp_path / "label.nii.gz")
    before = files(server.studies)
    with (tmp_path / "label.nii.gz").open("rb") as file:
        answer = requests.put(
            f"{server.url}/datastore/label?image=P0003_DP", files={"label": ("l.nii.gz", file)}, timeout=60
        )
    refused(answer, 400, "3.00 mm away from the image's")
    assert files(server.studies) == before


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/infer/segment_flair?image=P0001_CP", 404, "no model 'segment_flair'"),
        ("/infer/segment_cp?image=nobody", 404, "no image has this id"),
        ("/infer/segment_cp?image=../cohort/P0001_CP", 404, "no image has this id"),
        ("/infer/segment_cp?image=/etc/passwd", 404, "no image has this id"),
        ("/train/segment_flair", 404, "no model 'segment_flair'"),
        ("/activelearning/psychic", 400, "psychic"),
    ],
)
def test_an_unknown_name(server: Server, path: str, status: int, said: str) -> None:
    refused(requests.post(server.url + path, timeout=60), status, said)


def test_an_unknown_sequence(server: Server) -> None:
    answer = requests.post(
        f"{server.url}/infer/segment_auto?image=P0001_CP", data={"params": '{"sequence": "FLAIR"}'}, timeout=60
    )
    refused(answer, 400, "no sequence 'FLAIR'; expected one of: T1WI")


def test_parameters_that_are_not_json(server: Server) -> None:
    answer = requests.post(f"{server.url}/infer/segment_cp?image=P0001_CP", data={"params": "{"}, timeout=60)
    refused(answer, 400, "not JSON")


def test_a_proposal_never_becomes_a_final_label(server: Server) -> None:
    params = '{"save_label": true, "label_tag": "final"}'
    answer = requests.post(
        f"{server.url}/infer/segment_cp?image=P0004_CP&output=json", data={"params": params}, timeout=60
    )
    refused(answer, 400, "final")
