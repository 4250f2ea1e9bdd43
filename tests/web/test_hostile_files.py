"""Files made to break a reader: each is refused with a reason or read, nothing fails, nothing stays."""

import gzip
import io
import json
import tarfile
import warnings
import zipfile
from pathlib import Path

import httpx
import nibabel as nib
import nrrd
import numpy as np
import pytest
from fastapi import UploadFile

from lib.domain.errors import RenalError
from lib.imaging.volume import read_label, read_volume
from lib.web.uploads import ProcessFolder, RequestFolder, request_folder
from tests.web.conftest import Site

MUTANTS = 520
INFER = "/infer/segment_cp?output=json"
HEADER = 348


def nifti(shape: tuple[int, ...] = (8, 7, 6)) -> bytes:
    data = np.random.default_rng(0).integers(0, 4, shape).astype(np.int16)
    return nib.Nifti1Image(data, np.diag([2.0, 2.0, 3.0, 1.0])).to_bytes()


def nrrd_file(tmp_path: Path) -> bytes:
    nrrd.write(str(tmp_path / "a.nrrd"), np.ones((8, 7, 6), np.uint8))
    return (tmp_path / "a.nrrd").read_bytes()


def mutant(rng: np.random.Generator, originals: list[bytes]) -> bytes:
    """One of the originals with bytes changed, mostly in the header, or cut, or repeated, and maybe packed."""
    content = bytearray(originals[rng.integers(len(originals))])
    for _ in range(rng.integers(1, 12)):
        end = min(HEADER, len(content)) if rng.random() < 0.8 else len(content)
        content[rng.integers(end)] = rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))])
    if rng.random() < 0.2:
        content = content[: rng.integers(len(content))]
    if rng.random() < 0.1:
        content = content * int(rng.integers(2, 4))
    if rng.random() < 0.3:
        packed = bytearray(gzip.compress(bytes(content)))
        if rng.random() < 0.5:
            packed[rng.integers(len(packed))] ^= 0xFF
        return bytes(packed)
    return bytes(content)


def test_five_hundred_damaged_files_are_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rng, refused = np.random.default_rng(1), 0
    originals = [nifti(), nib.Nifti2Image.from_bytes(_second(nifti())).to_bytes(), nrrd_file(tmp_path)]
    for number in range(MUTANTS):
        name = "a.nii.gz" if number % 2 else "a.nii"
        with request_folder(megavoxels=1) as folder, warnings.catch_warnings():
            warnings.simplefilter("error")
            upload = UploadFile(io.BytesIO(mutant(rng, originals)), filename=name)
            for read in (read_volume, read_label):
                try:
                    read(folder.keep(upload, "image"))
                except RenalError:
                    refused += 1
                upload.file.seek(0)
    assert MUTANTS / 2 < refused < 2 * MUTANTS  # most are damaged, some are not
    assert [path for path in tmp_path.rglob("*") if path.name != "a.nrrd"] == []


def _second(first: bytes) -> bytes:
    image = nib.Nifti1Image.from_bytes(first)
    return nib.Nifti2Image(np.asarray(image.dataobj), image.affine).to_bytes()


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../escaped.nii", b"\x00" * 50_000_000)
    return out.getvalue()


def tar_bomb() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo("../../escaped.nii")
        member.size = 50_000_000
        archive.addfile(member, io.BytesIO(b"\x00" * member.size))
    return out.getvalue()


def gzip_bomb() -> bytes:
    """A small image that unpacks to far more than its header says."""
    return gzip.compress(nifti() + b"\x00" * 50_000_000)


TAKEN = (
    ("POST", INFER, "file"),
    ("PUT", "/datastore/label?image=P1_CP", "label"),
    ("PUT", "/datastore/image?image=P9_CP", "file"),
    ("PUT", "/session/", "files"),
)
NAMES = ("a.nii", "a.nrrd", "../../a.nii.gz", f"{'x' * 5000}.nii.gz", "a.nii.gz\x00.exe", "a")


def test_a_bomb_is_refused_wherever_a_file_is_taken(site: Site) -> None:
    for bomb in (zip_bomb(), tar_bomb(), gzip_bomb()):
        for method, path, field in TAKEN:
            answer = site.client.request(method, path, files={field: ("a.nii.gz", bomb)})
            if path == "/session/" and answer.status_code == 200:  # only the header is read until it is used
                path = f"{INFER}&session_id={answer.json()['session_id']}"
                answer = site.client.post(path)
                site.door.sessions.close()
            assert answer.status_code in (400, 413), answer.text
    assert site.left_behind() == []


def test_a_session_takes_no_archive(site: Site) -> None:
    for name, bomb in (("a.zip", zip_bomb()), ("a.tar.gz", tar_bomb()), ("a.nii.gz", gzip_bomb())):
        answer = site.client.put("/session/?uncompress=true", files={"files": (name, bomb)})
        assert answer.status_code == 400
        assert "expected one NIfTI file, which is not an archive" in answer.json()["detail"]
    assert site.left_behind() == []


def test_what_cannot_be_read_leaves_no_file(site: Site) -> None:
    for method, path, field in TAKEN:
        for name in NAMES:
            answer = site.client.request(method, path, files={field: (name, b"no image at all")})
            assert answer.status_code in (400, 422), answer.text
            assert "no image at all" not in answer.text
    assert site.left_behind() == []


EVIL_IDS = ["../P1_CP", "..", "/etc/passwd", "a/../../b", "P1_CP\x00", ".renal", "%2e%2e/x", "a" * 4000, "<script>"]


def visible(site: Site) -> set[Path]:
    return {path for path in site.studies.parent.rglob("*") if ".renal" not in path.parts}


def test_no_name_leads_out_of_the_cohort(site: Site) -> None:
    before = visible(site)
    for evil in EVIL_IDS:
        answers = try_everything(site, evil)
        assert all(400 <= answer.status_code < 500 for answer in answers), (evil, answers)
        assert visible(site) == before


def try_everything(site: Site, evil: str) -> list[httpx.Response]:
    image = (site.studies / "P1_CP.nii.gz").read_bytes()
    label = (site.studies / "labels" / "final" / "P1_CP.nii.gz").read_bytes()
    client, asked = site.client, {"image": evil, "label": evil, "id": evil, "tag": "final"}
    return [
        client.put("/datastore/image", params={"image": evil}, files={"file": ("a.nii.gz", image)}),
        client.put("/datastore/label", params={"image": evil}, files={"label": ("a.nii.gz", label)}),
        client.put("/datastore/label", params={"image": "P1_CP", "tag": evil}, files={"label": ("a.nii.gz", label)}),
        client.get("/datastore/image", params=asked),
        client.get("/datastore/image/info", params=asked),
        client.get("/datastore/label", params=asked),
        client.get("/datastore/label", params={"label": "P1_CP", "tag": evil}),
        client.delete("/datastore/image", params=asked),
        client.delete("/datastore/label", params=asked),
        client.post("/infer/segment_cp", params=asked),
        client.get("/session/x", params=asked),
    ]


def test_a_clients_options_cannot_choose_a_file_of_the_server(site: Site, tmp_path: Path) -> None:
    secret = site.temporary / "somebody.nii.gz"
    secret.write_bytes((site.studies / "P1_CP.nii.gz").read_bytes())
    for named in ("image", "file", "session"):
        params = json.dumps({named: str(secret), "image_info": {}, "upload": True})
        answer = site.client.post("/infer/segment_cp?image=nobody", data={"params": params})
        assert answer.status_code == 404, answer.text


UNWRITABLE = ("[]", "NaN", '{"a": NaN}', '{"a": 1e999}', '"\\ud800"', '{"a": "\\ud800"}', "{", "[" * 100_000, "1")


def test_an_option_that_cannot_be_written_back_is_refused(site: Site) -> None:
    for path in ("/datastore/image/info?image=P1_CP", "/datastore/label/info?label=P1_CP"):
        for text in UNWRITABLE:
            answer = site.client.put(path, data={"info": text})
            assert answer.status_code == 400, (text[:20], answer.text)
    assert site.client.get("/datastore/?output=all").status_code == 200


def test_markup_in_stored_names_stays_data(site: Site) -> None:
    evil = "<img src=x onerror=alert(1)>"
    told = {"info": json.dumps({"name": evil, "note": evil})}
    assert site.client.put("/datastore/image/info?image=P1_CP", data=told).status_code == 200
    for path in ("/datastore/?output=all", "/datastore/image/info?image=P1_CP", "/logs/"):
        answer = site.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] in ("application/json", "text/plain")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert site.client.get("/datastore/image/info?image=P1_CP").json()["note"] == evil


def test_the_folder_of_a_dead_process_is_removed_and_that_of_a_living_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    living = ProcessFolder()
    dead = living.path.parent / "dead"
    (dead / "request-1").mkdir(parents=True)
    second = ProcessFolder()
    assert not dead.exists()
    assert living.path.is_dir()
    assert second.path.stat().st_mode & 0o077 == 0
    for folder in (living, second):
        folder.remove()
        assert not folder.path.exists()


def test_a_request_folder_takes_no_name_from_a_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = RequestFolder(megavoxels=1)
    kept = folder.keep(UploadFile(io.BytesIO(nifti()), filename="/etc/../x/evil.NII"), "image")
    assert kept == folder.path / "image.nii"
    folder.remove()
    assert not folder.path.exists()
