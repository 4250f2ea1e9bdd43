"""A real server on a real PACS: Slicer's requests, a PACS that stops and comes back, labels there voxel by voxel."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests
from monailabel.client import MONAILabelClient
from pydicom.dataset import Dataset

from lib.accounts.roles import Role
from lib.accounts.users import UserFile
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import CYST, KIDNEY, MASS
from lib.imaging.volume import Volume, write_volume
from lib.pacs.planes import PlanesFolder, slices_of
from lib.phantom.cohort import SMALL_SIZE, make_case
from lib.phantom.dicom import make_identity, series_datasets
from tests.e2e.conftest import Server, running
from tests.orthanc import Orthanc, needs_orthanc, orthanc
from tests.pacs.test_exchange import in_pacs, pixels_by_image

pytestmark = [
    needs_orthanc,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Exception ignored in.*socket"),  # MONAI Label's client leaves them to the
    pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning"),  # garbage collector
    pytest.mark.filterwarnings("ignore:Exception ignored in.*FileIO"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]
PASSWORD = "correct horse battery"
SEED = 77
AT_MOST_S = 60.0  # until what is new in the PACS is seen, on a machine that is not busy
PATIENCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A server, its PACS, and what is kept of it."""

    server: Server
    pacs: Orthanc
    mirror: Path

    def get(self, path: str, **query: str) -> dict:
        return requests.get(f"{self.server.url}{path}", query, headers=self.token(), timeout=60).json()

    def token(self) -> dict[str, str]:
        return _token(self.server.url)

    def wait(self, until: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE * AT_MOST_S
        while time.monotonic() < end:
            if until():
                return
            time.sleep(0.5)
        pytest.fail(f"it did not come about: {self.get('/pacs/status')}\n{self.server.log.read_text()[-2000:]}")


@lru_cache(maxsize=1)
def _token(url: str) -> dict[str, str]:
    form = {"username": "an-annotator", "password": PASSWORD}
    answer = requests.post(f"{url}/auth/token", data=form, timeout=60).json()
    return {"Authorization": f"bearer {answer['access_token']}"}


@lru_cache(maxsize=4)
def exam(patient: int, codes: tuple[str, ...] = tuple(SEQUENCES)) -> dict[str, list[Dataset]]:
    """A phantom patient's series, by sequence."""
    cases = {code: make_case(SEED, patient, code, size=SMALL_SIZE) for code in codes}
    identity = make_identity(SEED, patient, cases[codes[0]])
    return {code: series_datasets(case, identity) for code, case in cases.items()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("pacs")
    users = UserFile(folder / "users.json")
    for role in Role:
        users.add(f"an-{role.title}", role, PASSWORD)
    with orthanc(folder / "orthanc", reader="behind the firewall") as pacs:
        for slices in exam(0).values():
            pacs.keep(slices)
        with running(
            folder,
            folder / "live",
            lambda _, port: [sys.executable, "main.py", "serve", "--studies", pacs.url, "--port", str(port)],
            pacs_folder=str(folder / "mirror"),
            pacs_user="reader",
            pacs_password="behind the firewall",
            pacs_every_s="1",
            pacs_settle_s="2",
        ) as server:
            found = Site(server=server, pacs=pacs, mirror=folder / "mirror")
            found.wait(lambda: found.get("/datastore/", output="stats")["total"] == len(SEQUENCES))
            yield found


def client_of(site: Site) -> MONAILabelClient:
    client = MONAILabelClient(site.server.url)
    assert client.auth_enabled()
    client.update_auth(client.auth_token("an-annotator", PASSWORD))
    assert client.auth_valid_token()
    return client


def drawn_label(site: Site, image_id: str, folder: Path) -> Path:
    """A label on the image's grid that looks like no mirrored one."""
    image = nib.load(site.mirror / "cohort" / f"{image_id}.nii.gz")
    data = np.zeros(image.shape, np.uint8)
    for k in range(2, image.shape[2] - 1):
        data[4 : 9 + k % 5, 6:15, k] = KIDNEY
        data[5:8, 8 : 10 + k % 3, k] = MASS
    data[20:22, 5, 3] = CYST
    write_volume(Volume(data=data, affine=image.affine), folder / "label.nii.gz")
    return folder / "label.nii.gz"


def test_slicers_requests_work_on_a_pacs_and_the_label_is_stored_there(site: Site, tmp_path: Path) -> None:
    client = client_of(site)
    info = client.info()
    assert next(iter(info["models"])) == "segment_auto"
    sample = client.next_sample(next(iter(info["strategies"])), {})
    assert {"id", "path", "name"} <= set(sample)
    assert sample["id"] in client.datastore()["objects"]
    address = f"{site.server.url}/datastore/image?image={sample['id']}"
    downloaded = requests.get(address, headers=site.token(), timeout=60)
    (tmp_path / "image.nii.gz").write_bytes(downloaded.content)
    proposal, reply = client.infer("segment_auto", sample["id"], {"result_extension": ".nii.gz"})
    assert nib.load(proposal).shape == nib.load(tmp_path / "image.nii.gz").shape
    names = [{"name": name, "idx": value} for name, value in reply["label_names"].items()]
    label = drawn_label(site, sample["id"], tmp_path)
    assert client.save_label(sample["id"], str(label), params={"label_info": names})["label"] == sample["id"]
    site.wait(lambda: site.get("/pacs/status")["labels_stored"] == 1)
    (seg,) = in_pacs(site.pacs, "SEG")
    image = nib.load(label)
    planes = PlanesFolder(site.mirror / "planes").find(sample["id"])
    drawn = slices_of(Volume(data=np.asarray(image.dataobj), affine=image.affine), planes)
    found = pixels_by_image(seg)
    for uid, pixels in drawn.items():
        np.testing.assert_array_equal(found.get(uid, np.zeros_like(pixels)), pixels)
    assert client.datastore()["objects"][sample["id"]]["labels"]["final"]["info"]["author"] == "an-annotator"
    assert "an-annotator" not in str(seg)


def test_a_viewer_may_name_an_image_by_its_series(site: Site) -> None:
    series_uid = str(exam(0)["CP"][0].SeriesInstanceUID)
    told = site.get("/pacs/image", image=series_uid)
    assert told["sequence"] == "CP"
    assert {one["sop"] for one in told["slices"]} == {one.SOPInstanceUID for one in exam(0)["CP"]}
    assert site.get("/datastore/image/info", image=series_uid)["image_id"] == told["image"]
    study = site.get("/pacs/study", image=series_uid)
    assert {one["sequence"] for one in study["images"]} == set(SEQUENCES)
    asked = f"{site.server.url}/infer/segment_cp?image={series_uid}&output=json"
    assert requests.post(asked, headers=site.token(), timeout=120).status_code == 200
    unknown = requests.get(f"{site.server.url}/pacs/image?image=1.2.3", headers=site.token(), timeout=60)
    assert unknown.status_code == 404


def test_the_viewers_way_to_a_real_pacs(site: Site) -> None:
    first = exam(0)["CP"][0]
    series = f"studies/{first.StudyInstanceUID}/series/{first.SeriesInstanceUID}"
    found = site.get("/proxy/dicom/qido/series", Modality="MR", SeriesInstanceUID=str(first.SeriesInstanceUID))
    assert [one["0020000E"]["Value"] for one in found] == [[str(first.SeriesInstanceUID)]]
    assert len(site.get(f"/proxy/dicom/wado/{series}/metadata")) == len(exam(0)["CP"])
    frame = f"{site.server.url}/proxy/dicom/wado/{series}/instances/{first.SOPInstanceUID}/frames/1"
    answer = requests.get(frame, headers=site.token(), timeout=60)
    assert first.PixelData in answer.content
    for method, path in (("GET", "../../system"), ("GET", "studies/../../patients"), ("POST", "stow/studies")):
        asked = requests.Request(method, f"{site.server.url}/proxy/dicom/x", headers=site.token()).prepare()
        asked.url = f"{site.server.url}/proxy/dicom/{path}"
        with requests.Session() as session:
            assert session.send(asked, timeout=60).status_code in (403, 404, 405)


def test_a_pacs_that_stops_in_the_middle_stops_nobody(site: Site, tmp_path: Path) -> None:
    study = site.get("/pacs/study", study=str(exam(0)["DP"][0].StudyInstanceUID))
    one = next(one for one in study["images"] if not one["labelled"])
    series_uid, image_id = one["series"], one["image"]
    site.pacs.stop()
    try:
        asked = f"{site.server.url}/infer/segment_auto?image={series_uid}&output=json"
        assert requests.post(asked, headers=site.token(), timeout=120).status_code == 200
        proxied = requests.get(f"{site.server.url}/proxy/dicom/qido/series", headers=site.token(), timeout=60)
        assert proxied.status_code == 502
        assert "cannot be reached" in proxied.json()["detail"]
        with drawn_label(site, image_id, tmp_path).open("rb") as file:
            url = f"{site.server.url}/datastore/label?image={image_id}"
            saved = requests.put(url, files={"label": file}, headers=site.token(), timeout=60)
        assert saved.status_code == 200
        site.wait(lambda: [one["image"] for one in site.get("/pacs/status")["labels_waiting"]] == [image_id])
        assert "cannot be reached" in site.get("/pacs/status")["error"]
        assert requests.get(f"{site.server.url}/readyz", timeout=60).ok
    finally:
        site.pacs.start()
    site.wait(lambda: site.get("/pacs/status")["labels_waiting"] == [])
    segs = {str(one.ReferencedSeriesSequence[0].SeriesInstanceUID) for one in in_pacs(site.pacs, "SEG")}
    assert series_uid in segs


def test_a_series_that_arrives_is_on_the_work_list_by_itself(site: Site) -> None:
    before = site.get("/datastore/", output="stats")["total"]
    site.pacs.keep(exam(1, ("NP",))["NP"])
    site.wait(lambda: site.get("/datastore/", output="stats")["total"] == before + 1)


def test_neither_the_login_at_the_pacs_nor_a_uid_is_in_the_log(site: Site) -> None:
    log = site.server.log.read_text()
    assert "behind the firewall" not in log
    for slices in exam(0).values():
        for uid in (slices[0].StudyInstanceUID, slices[0].SeriesInstanceUID, slices[0].PatientID):
            assert str(uid) not in log
