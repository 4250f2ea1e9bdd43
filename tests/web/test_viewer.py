"""The viewer: its files under a strict policy, and what its panel asks of a server on a PACS."""

import gzip
import json
import re
from email import message_from_bytes
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lib.imaging.volume import Volume
from lib.ingest.dicom_planes import lay_on
from lib.pacs.planes import ImagePlanes
from lib.web import viewer
from lib.web.relocate import ViewerFilesError, relocate
from tests.web.conftest import Site

ENTRY = "app.bundle.0123456789abcdef.js"
HERE = '__webpack_require__.p = "/";'


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """The package's folder, as it is built."""
    folder = tmp_path / "dist"
    for name, text in {
        ENTRY: f"start(); {HERE}",
        "7.bundle.00.js": "part()",
        "app.bundle.css": "@font-face{src:url(/a.woff2)} i{background:url(data:x)} b{background:url('//cdn/x')}",
        "app.bundle.js.map": "{}",
        "sw.js": "importScripts('https://elsewhere')",
        "ort/ort.js": "runtime()",
        "index.html": "<script>inline()</script>",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def build(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The viewer, installed."""
    folder = tmp_path / "build"
    relocate(dist, folder)
    monkeypatch.setattr(viewer, "BUILD", folder)
    return folder


def test_the_viewer_is_moved_to_its_folder_and_what_loads_from_elsewhere_is_left_out(build: Path) -> None:
    found = {str(path.relative_to(build)) for path in build.rglob("*") if path.suffix != ".gz"}
    assert found == {ENTRY, "7.bundle.00.js", "app.bundle.css", "index.html"}
    assert '__webpack_require__.p = "/ohif/";' in (build / ENTRY).read_text()
    assert "url(/ohif/a.woff2)" in (build / "app.bundle.css").read_text()
    assert "url(data:x)" in (build / "app.bundle.css").read_text()
    assert gzip.decompress((build / f"{ENTRY}.gz").read_bytes()) == (build / ENTRY).read_bytes()


def test_another_build_of_the_viewer_than_expected_is_refused_and_the_old_one_stays(dist: Path, build: Path) -> None:
    (dist / ENTRY).write_text("start();")
    with pytest.raises(ViewerFilesError, match="npm ci"):
        relocate(dist, build)
    assert (build / ENTRY).is_file()


def test_pages_may_run_only_our_own_scripts(site: Site, build: Path) -> None:
    for path in ("/ohif/", "/ohif/annotate?StudyInstanceUIDs=1.2", "/ohif/next.html"):
        answer = site.client.get(path, headers={"accept": "text/html"})
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert answer.status_code == 200
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
        assert policy["connect-src"] == "'self' blob: data:"
        assert policy["frame-ancestors"] == "'none'"
        assert not re.search(r"<script>|https?:|\bon[a-z]+=|style=", answer.text), path


def test_our_modules_put_no_text_into_html_and_load_nothing_from_elsewhere() -> None:
    files = [path for path in viewer.OURS.rglob("*") if path.suffix in {".js", ".html", ".css"}]
    assert len(files) > 8
    for path in files:
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
        assert not re.search(r"https?://|@import|url\(", text), path


def test_files_come_packed_where_the_browser_unpacks_them(site: Site, build: Path) -> None:
    packed = site.client.get(f"/ohif/{ENTRY}", headers={"accept-encoding": "gzip"})
    plain = site.client.get(f"/ohif/{ENTRY}", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content == (build / ENTRY).read_bytes()
    assert packed.headers["content-type"].startswith("text/javascript")
    assert "immutable" in packed.headers["cache-control"]
    assert site.client.get("/ohif/app-config.js").headers["cache-control"] == "no-cache"


def test_no_path_leads_out_of_the_viewer(site: Site, build: Path) -> None:
    for path in ("..%2fpackage.json", "%2e%2e/%2e%2e/routes.py", "x/../../../viewer.py", "nothing.js", "a%00.js"):
        assert site.client.get(f"/ohif/{path}").status_code == 404, path


def test_without_the_viewer_the_frameworks_is_shown_and_the_first_page_says_so(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer, "BUILD", tmp_path / "nothing")
    assert "make ohif" in site.client.get("/").text
    assert "app.bundle" in site.client.get("/ohif/").text


# ---- the panel -----------------------------------------------------------------------------------------------------
@pytest.fixture
def on_pacs(site: Site) -> ImagePlanes:
    """P1_CP as if it were of a PACS whose slices run the other way than the file."""
    grid = site.door.app.datastore().store.grid("P1_CP")
    turned = grid.affine @ np.diag([1.0, -1, -1, 1])
    turned[:3, 3] = grid.affine[:3, 3] + grid.affine[:3, :3] @ (0, grid.shape[1] - 1, grid.shape[2] - 1)
    keys = tuple(f"1.2.3.{number}" for number in range(grid.shape[2]))
    planes = ImagePlanes(
        image_id="P1_CP", study_uid="1.2", series_uid="1.2.3", keys=keys, shape=grid.shape,
        affine=tuple(turned.ravel()),
    )  # fmt: skip
    folder = SimpleNamespace(
        find=lambda image: planes if image == "P1_CP" else None,
        of_study=lambda study: [planes] if study == "1.2" else [],
    )
    site.door.app.mirror = SimpleNamespace(planes=folder, image_id=lambda name: name)
    return planes


def parts(answer) -> tuple[dict, bytes]:
    assert answer.status_code == 200, answer.text
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    meta, mask = message_from_bytes(head + answer.content).get_payload()
    return json.loads(meta.get_payload()), gzip.decompress(mask.get_payload(decode=True))


def form(planes: ImagePlanes, drawn: np.ndarray, **told: object) -> dict:
    meta = json.dumps({**told, "keys": planes.keys})
    return {"data": {"meta": meta}, "files": {"mask": ("mask.gz", gzip.compress(drawn.tobytes()))}}


def a_mass(planes: ImagePlanes) -> np.ndarray:
    columns, rows, slices = planes.shape
    drawn = np.zeros((slices, rows, columns), np.uint8)
    drawn[2:5, 3:7, 4:9] = 2
    drawn[4, 3:9, 4:12] = 2
    return drawn


def test_the_case_names_images_slices_and_structures(site: Site, on_pacs: ImagePlanes) -> None:
    told = site.client.get("/viewer/case?study=1.2").json()
    assert [row["name"] for row in told["structures"]] == ["kidney", "mass", "cyst"]
    (image,) = told["images"]
    assert (image["image"], image["sequence"], image["labelled"]) == ("P1_CP", "CP", True)
    assert image["keys"] == list(on_pacs.keys)
    assert told["clicks"] is False
    assert site.client.get("/viewer/case?image=P1_CP").json()["study"] == "1.2"
    assert site.client.get("/viewer/case?study=9.9").status_code == 404
    assert site.client.get("/viewer/case?image=P2_CP").status_code == 404


def test_why_a_case_came_next_is_still_known_when_it_is_opened(site: Site, on_pacs: ImagePlanes) -> None:
    site.client.delete("/datastore/label?id=P1_CP")
    names = {site.client.post("/activelearning/coverage", json={"client_id": "a"}).json()["id"] for _ in range(2)}
    assert "P1_CP" in names
    asked = site.client.post("/activelearning/coverage", json={"client_id": "a", "image": "P1_CP"})
    assert asked.json()["reason"] == "asked for"
    reason = site.client.get("/viewer/case?study=1.2").json()["images"][0]["reason"]
    assert reason not in ("", "asked for")


def test_a_submitted_label_is_the_drawing_on_each_slice(site: Site, on_pacs: ImagePlanes) -> None:
    drawn = a_mass(on_pacs)
    sent = form(on_pacs, drawn, structures=["mass"], minutes=1.5)
    saved = site.client.put("/viewer/label?image=P1_CP", **sent)
    assert saved.status_code == 200, saved.text
    meta, mask = parts(site.client.get("/viewer/label?image=P1_CP"))
    assert meta["keys"] == list(on_pacs.keys)
    assert mask == drawn.tobytes()
    record = site.door.app.datastore().get_label_info("P1_CP", "final")
    assert record["structures"] == ["mass"]
    assert record["minutes"] == 1.5
    assert site.left_behind() == []


def test_an_empty_label_is_taken(site: Site, on_pacs: ImagePlanes) -> None:
    drawn = np.zeros_like(a_mass(on_pacs))
    saved = site.client.put("/viewer/label?image=P1_CP", **form(on_pacs, drawn, structures=["mass"]))
    assert saved.json()["masses"] == []


def test_a_mass_is_measured_without_being_kept_and_names_the_slice_that_shows_most_of_it(
    site: Site, on_pacs: ImagePlanes
) -> None:
    before = site.door.app.datastore().get_label_info("P1_CP", "final")
    (mass,) = site.client.post("/viewer/measure?image=P1_CP", **form(on_pacs, a_mass(on_pacs))).json()["masses"]
    assert mass["key"] == on_pacs.keys[4]
    voxel_ml = abs(np.linalg.det(on_pacs.grid.affine[:3, :3])) / 1000
    assert mass["volume_ml"] == pytest.approx(np.count_nonzero(a_mass(on_pacs)) * voxel_ml)
    assert site.door.app.datastore().get_label_info("P1_CP", "final") == before


def test_a_proposal_by_slices_is_the_one_that_other_clients_get(site: Site, on_pacs: ImagePlanes) -> None:
    meta, mask = parts(site.client.post("/viewer/proposal/segment_cp?image=P1_CP", data={"meta": "{}"}))
    grid = site.door.app.datastore().store.grid("P1_CP")
    proposed = site.client.post(
        "/infer/segment_cp?image=P1_CP&output=image", data={"params": '{"result_extension": ".nii"}'}
    )
    voxels = np.frombuffer(proposed.content[352:], np.uint8).reshape(grid.shape, order="F")
    laid = lay_on(Volume(data=voxels, affine=grid.affine), on_pacs.grid).data
    assert any(mask)  # it can be told from nothing
    assert mask == laid.transpose(2, 1, 0).tobytes()
    assert meta["model_version"] == "CP-test"
    assert site.left_behind() == []


def test_clicks_reach_the_model_as_voxels_of_the_file_with_the_label_they_start_from(
    site: Site, on_pacs: ImagePlanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict = {}
    infer = site.door.app.infer

    def refine(request: dict) -> dict:
        asked.update(request, bytes=Path(request["label"]).stat().st_size)
        return infer({"model": "segment_cp", "image": request["image"], "result_extension": ".nii.gz"})

    monkeypatch.setattr(site.door.app, "infer", refine)
    clicks = [
        {"key": on_pacs.keys[0], "row": 0, "column": 1, "structure": "mass", "foreground": True},
        {"key": on_pacs.keys[1], "row": 2, "column": 0, "structure": "mass", "foreground": False},
    ]
    answer = site.client.post(
        "/viewer/proposal/refine_clicks?image=P1_CP", **form(on_pacs, a_mass(on_pacs), clicks=clicks)
    )
    assert answer.status_code == 200, answer.text
    _, rows, slices = on_pacs.shape
    assert asked["mass"] == {"foreground": [[1, rows - 1, slices - 1]], "background": [[0, rows - 3, slices - 2]]}
    assert asked["bytes"] > 0
    assert "clicks" not in asked
    assert site.left_behind() == []


def test_what_the_panel_sends_is_checked(site: Site, on_pacs: ImagePlanes) -> None:
    drawn = a_mass(on_pacs)
    missing = {"data": {"meta": json.dumps({"keys": on_pacs.keys[1:]})}, "files": {"mask": ("m", gzip.compress(b""))}}
    for sent, status in (
        (form(on_pacs, drawn, structures=["liver"]), 400),
        (form(on_pacs, drawn, structures=["kidney"]), 400),
        (form(on_pacs, drawn[:-1]), 400),
        (form(on_pacs, drawn + 7), 400),
        (missing, 400),
        ({"data": {"meta": "{}"}, "files": {"mask": ("m", b"")}}, 400),
        ({"data": {"meta": '{"keys": 5}'}, "files": {"mask": ("m", b"")}}, 400),
        ({"data": {"meta": "{}"}}, 422),
    ):
        answer = site.client.put("/viewer/label?image=P1_CP", **sent)
        assert answer.status_code == status, (sent, answer.text)
    click = form(on_pacs, drawn, clicks=[{"structure": "liver"}])
    assert site.client.post("/viewer/proposal/refine_clicks?image=P1_CP", **click).status_code == 400
    assert site.left_behind() == []


def test_on_a_folder_the_panel_is_told_that_the_viewer_needs_a_pacs(site: Site) -> None:
    answer = site.client.get("/viewer/case?study=1.2")
    assert answer.status_code == 404
    assert "expected a PACS" in answer.json()["detail"]
