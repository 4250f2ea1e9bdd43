"""An annotator's day in a real browser: real Chromium, the real server, a real PACS."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests

from lib.accounts.roles import Role
from lib.accounts.users import UserFile
from lib.domain.structures import MASS
from lib.imaging.volume import write_volume
from lib.loop.trust import TRUST, trust_note, trust_of
from lib.nets.networks import load_weights, save_weights
from lib.phantom.cohort import SMALL_SIZE, make_case
from lib.phantom.dicom import generate_dicom
from lib.web import viewer
from tests.e2e.conftest import APP, Server, needs_chromium, running, started_by_us
from tests.orthanc import Orthanc, needs_orthanc, orthanc
from tests.pacs.test_exchange import in_pacs, pixels_by_image

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    needs_orthanc,
    needs_chromium,
    pytest.mark.skipif(not viewer.is_installed(), reason="the viewer is not installed (make ohif)"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
PASSWORD = "correct horse battery"
PATIENTS, SEED, CODES = 2, 28, ("T2WI", "CP", "NP")
PICTURES = APP / "tests-out" / "viewer"
PATIENCE_MS = 240_000  # a busy machine is no failure
# What is drawn, straight from the viewer: SOP instance -> [rows, columns, (index, value) of what is not empty].
DRAWN = """() => Object.fromEntries(services.segmentationService.getSegmentations().flatMap(one =>
  one.representationData.Labelmap.imageIds.map(id => {
    const image = cornerstone.cache.getImage(id);
    const voxels = [...image.voxelManager.getScalarData().entries()].filter(([, value]) => value);
    const { SOPInstanceUID } = cornerstone.metaData.get('instance', image.referencedImageId);
    return [SOPInstanceUID, [image.rows, image.columns, voxels]];
  })))"""
SHOWN = """() => [...services.viewportGridService.getState().viewports.keys()].every(id => {
  const shown = services.cornerstoneViewportService.getCornerstoneViewport(id)?.getCurrentImageId?.();
  return shown && cornerstone.cache.getImage(shown);
})"""
SPY = """window.sent = [];
const ask = window.fetch;
window.fetch = (address, options) => {
  if (options?.body instanceof FormData && String(address).includes('refine_clicks'))
    window.sent.push(JSON.parse(options.body.get('meta')).clicks);
  return ask(address, options);
};"""
ACTIVE = "services.segmentationService.getActiveSegmentation(services.viewportGridService.getActiveViewportId())"
LOAD = f"""() => Promise.all({ACTIVE}.representationData.Labelmap.imageIds.map(
  id => cornerstone.imageLoader.loadAndCacheImage(cornerstone.cache.getImage(id).referencedImageId)
)).then(() => {{}})"""
EXPORT = f"""() => commandsManager.runCommand(
  'downloadSegmentation', {{ segmentationId: {ACTIVE}.segmentationId }}, 'SEGMENTATION')"""
BOX = """() => {
  const id = services.viewportGridService.getActiveViewportId();
  const box = services.cornerstoneViewportService.getCornerstoneViewport(id).element.getBoundingClientRect();
  return [box.x, box.y, box.width, box.height];
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hospital:
    """A PACS with examinations and the server on it."""

    pacs: Orthanc
    server: Server
    dicom: Path

    def labels_in_pacs(self, count: int) -> list:
        end = time.monotonic() + PATIENCE_MS / 1000
        while time.monotonic() < end:
            found = in_pacs(self.pacs, "SEG")
            if len(found) >= count:
                return found
            time.sleep(0.5)
        pytest.fail(f"{len(found)} labels in the PACS; expected {count}")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital")
    generate_dicom(folder / "dicom", patients=PATIENTS, seed=SEED, sequences=CODES, size=SMALL_SIZE)
    users = UserFile(folder / "users.json")
    for name in ("anna", "ben"):
        users.add(name, Role.ANNOTATOR, PASSWORD)
    shipped = shutil.copytree(APP / "model" / "shipped", folder / "shipped")
    for code in ("T2WI", "CP"):
        distrusted(shipped / f"{code}.safetensors")
    settings = {"pacs_folder": str(folder / "kept"), "pacs_settle_s": "0", "pacs_every_s": "1", "shipped": str(shipped)}
    with orthanc(folder / "orthanc") as pacs:
        for file in sorted((folder / "dicom").rglob("*.dcm")):
            requests.post(f"{pacs.root}/instances", file.read_bytes(), timeout=30).raise_for_status()
        with running(pacs.url, folder / "live", started_by_us, **settings) as server:
            _wait_for_images(server, PATIENTS * len(CODES))
            yield Hospital(pacs=pacs, server=server, dicom=folder / "dicom")


def distrusted(path: Path) -> None:
    """Let every proposal of these weights be one to distrust, however good they are."""
    weights = load_weights(path)
    note = trust_note(replace(trust_of(weights.notes), threshold=1.0))
    save_weights(path, weights.state, weights.plan, {**weights.notes, TRUST: note})


def _wait_for_images(server: Server, count: int) -> None:
    form = {"username": "anna", "password": PASSWORD}
    token = requests.post(f"{server.url}/auth/token", form, timeout=60).json()["access_token"]
    end = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < end:
        headers = {"Authorization": f"bearer {token}"}
        found = requests.get(f"{server.url}/datastore/?output=all", headers=headers, timeout=60).json()
        if len(found["objects"]) == count:
            return
        time.sleep(0.5)
    pytest.fail(f"{len(found['objects'])} images came from the PACS; expected {count}")


@pytest.fixture
def reader(chromium, hospital: Hospital) -> Iterator[Callable]:
    """A reader's browser, logged in: ``reader("anna")``. What a page asks of elsewhere, or breaks, fails the test."""
    opened, complaints = [], []

    def watch(page) -> None:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None
        )
        page.on("request", lambda asked: complaints.append(asked.url) if _is_elsewhere(asked.url, hospital) else None)

    def make(name: str, password: str = PASSWORD, width: int = 1600, height: int = 900):
        context = chromium.new_context(viewport={"width": width, "height": height})
        context.set_default_timeout(PATIENCE_MS)
        opened.append(context)
        page = context.new_page()
        watch(page)
        page.goto(f"{hospital.server.url}/ohif/")
        assert "/login?next=/ohif/" in page.url
        page.fill("#username", name)
        page.fill("#password", password)
        page.click("button")
        return page

    yield make
    for context in opened:
        context.close()
    assert complaints == []


def _is_elsewhere(url: str, hospital: Hospital) -> bool:
    return not url.startswith((hospital.server.url, "blob:", "data:", "chrome"))


def picture(page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / f"{name}.png").write_bytes(page.screenshot())  # by itself: playwright's own way leaves a thread


def told(page) -> str:
    """What the panel says, once it says something of the case."""
    page.wait_for_selector("#renal-status:not(:empty)")
    page.wait_for_function(SHOWN)
    page.wait_for_selector("renal-panel:not([aria-busy])")
    return page.inner_text("#renal-status")


def next_case(page, hospital: Hospital) -> str:
    """Open the next case from the first page; the image's id."""
    page.goto(f"{hospital.server.url}/")
    page.click("text=Label the next case")
    page.wait_for_url("**/annotate?*")
    assert "proposed" in told(page)
    return image_in(page)


def image_in(page) -> str:
    return re.search(r"image=([^&]+)", page.url)[1]


def drag(page, across: float, down: float, length: int = 0) -> None:
    x, y, width, height = page.evaluate(BOX)
    page.mouse.move(x + across * width, y + down * height)
    page.mouse.down()
    page.mouse.move(x + across * width + length, y + down * height + 2, steps=6)
    page.mouse.up()


def draw(page, across: float, down: float, length: int = 20) -> dict[str, np.ndarray]:
    """Drag with brush or eraser; what is drawn then, once it has changed and stays."""
    before = drawn_in(page)
    drag(page, across, down, length)
    return settled(page, before)


def settled(page, before: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is drawn once it is not what it was, and stays for a while."""
    end = time.monotonic() + PATIENCE_MS / 1000
    last, now = before, drawn_in(page)
    while same(now, before) or not same(now, last):
        assert time.monotonic() < end, "nothing was drawn"
        page.wait_for_timeout(200)
        last, now = now, drawn_in(page)
    return now


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[uid], other[uid]) for uid in one)


def click_at(page, across: float, down: float) -> None:
    """Click, and wait for the network's answer."""
    asked = page.evaluate("() => window.sent.length")
    drag(page, across, down)
    page.wait_for_function("asked => window.sent.length > asked", arg=asked)
    page.wait_for_selector("renal-panel:not([aria-busy])")


def press(page, key: str) -> None:
    """Press a key and let the panel finish what it does then."""
    page.keyboard.press(key)
    page.wait_for_timeout(400)
    page.wait_for_selector("renal-panel:not([aria-busy])")


def submit(page) -> None:
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#renal-status.good, #renal-status.bad")
    assert "submitted" in page.inner_text("#renal-status")


def correct(page, hospital: Hospital, folder: Path) -> str:
    """Send the truth as the next version of the one label that there is; the image's id."""
    objects = page.request.get(f"{hospital.server.url}/datastore/?output=all").json()["objects"]
    (image,) = (name for name, one in objects.items() if "final" in one["labels"])
    study = re.search(r"StudyInstanceUIDs=([\d.]+)", page.url)[1]
    number = next(
        number
        for number in range(PATIENTS)
        if pydicom.dcmread(next((hospital.dicom / f"{number:04d}").rglob("*.dcm"))).StudyInstanceUID == study
    )
    case, file = make_case(SEED, number, image.split("_")[-1], size=SMALL_SIZE), folder / "truth.nii.gz"
    write_volume(case.label, file)
    upload = {"name": file.name, "mimeType": "application/gzip", "buffer": file.read_bytes()}
    answer = page.request.put(
        f"{hospital.server.url}/datastore/label?image={image}",
        multipart={"label": upload},
        headers={"origin": hospital.server.url},
    )
    assert answer.ok, answer.text()
    return image


def drawn_in(page) -> dict[str, np.ndarray]:
    """Pixels by SOP instance, of slices on which something is drawn."""
    found = {}
    for uid, (rows, columns, voxels) in page.evaluate(DRAWN).items():
        if voxels:
            flat = np.zeros(rows * columns, np.uint8)
            index, value = np.array(voxels).T
            flat[index] = value
            found[uid] = flat.reshape(rows, columns)
    return found


def value_at(drawn: dict[str, np.ndarray], uid: str, row: int, column: int) -> int:
    return int(drawn[uid][row, column]) if uid in drawn else 0


def new_in(page, before: dict[str, np.ndarray]) -> list[tuple]:
    """(SOP instance, row, column) of what was drawn since."""
    empty = np.zeros(next(iter(before.values())).shape, np.uint8)
    now = drawn_in(page)
    return [(uid, *at.tolist()) for uid, one in now.items() for at in np.argwhere(one != before.get(uid, empty))]


def assert_same(seg: dict[str, np.ndarray], drawn: dict[str, np.ndarray]) -> None:
    """The SEG holds what is drawn, and on other slices nothing: with an empty segment it has frames for all of them."""
    assert drawn
    assert sorted(uid for uid, pixels in seg.items() if pixels.any()) == sorted(drawn)
    for uid, pixels in drawn.items():
        np.testing.assert_array_equal(seg[uid], pixels)


def test_a_wrong_password_opens_nothing(reader: Callable, hospital: Hospital) -> None:
    page = reader("anna", password="wrong horse battery")
    assert "do not belong together" in page.inner_text("[role=alert]")
    for path in ("/ohif/annotate?StudyInstanceUIDs=1", "/ohif/renal/panel.js"):
        page.goto(f"{hospital.server.url}{path}")
        assert "/login" in page.url
    refused = page.request.get(f"{hospital.server.url}/proxy/dicom/studies", headers={"accept": "application/json"})
    assert refused.status == 401


def test_from_the_work_list_to_a_label_in_the_pacs_and_the_next_case(
    reader: Callable, hospital: Hospital, tmp_path: Path
) -> None:
    page = reader("anna")
    page.click("text=/^ACC/ >> nth=0")
    picture(page, "1-work-list")
    page.click("text=Annotate")
    assert "proposed" in told(page)
    assert len(page.query_selector_all(".cornerstone-viewport-element")) == len(CODES)
    assert page.query_selector("#renal-masses, renal-panel p:text-is('No mass.')")
    picture(page, "2-proposal")
    proposed = drawn_in(page)

    press(page, "2")
    brushed = draw(page, 0.6, 0.4)
    assert sum((one == 2).sum() for one in brushed.values()) > sum((one == 2).sum() for one in proposed.values())
    press(page, "e")
    erased = draw(page, 0.6, 0.4, length=4)
    assert sum((one > 0).sum() for one in erased.values()) < sum((one > 0).sum() for one in brushed.values())
    press(page, "z")
    assert_same(settled(page, erased), brushed)
    page.wait_for_selector("#renal-masses")
    assert re.search(r"[\d.]+ mL\s+\d+ mm", page.inner_text("#renal-masses"))

    page.keyboard.press("n")
    assert "not submitted" in page.inner_text("dialog")
    picture(page, "3-not-submitted")
    press(page, "Escape")
    submit(page)
    picture(page, "4-submitted")
    (seg,) = hospital.labels_in_pacs(1)
    assert_same(pixels_by_image(seg), brushed)

    before, labelled = page.url, correct(page, hospital, tmp_path)
    page.keyboard.press("n")
    page.wait_for_function("before => location.href !== before", arg=before)
    assert "proposed" in told(page)
    assert page.inner_text("#renal-reason").startswith("Why this case:")
    assert f"carried over from the label of {labelled}" in page.inner_text("renal-panel")
    picture(page, "5-next-case")


def test_a_proposal_to_distrust_says_so(reader: Callable, hospital: Hospital) -> None:
    page = reader("ben")
    server, headers = hospital.server.url, {"origin": hospital.server.url}
    objects = page.request.get(f"{server}/datastore/?output=all").json()["objects"]
    proposals = {
        image: page.request.post(f"{server}/infer/segment_auto?image={image}&output=json", headers=headers).json()
        for image, one in objects.items()
        if "final" not in one["labels"]
    }
    image, proposal = next((image, one) for image, one in proposals.items() if one.get("distrust"))
    study = page.request.get(f"{server}/viewer/case?image={image}").json()["study"]
    page.goto(f"{server}/ohif/annotate?StudyInstanceUIDs={study}&image={image}")
    assert "proposed" in told(page)
    assert page.inner_text("#renal-distrust") == f"Look twice: {proposal['distrust_reason']}"
    picture(page, "9-to-distrust")


def test_two_readers_get_two_cases_and_one_is_told_that_the_other_has_it(reader: Callable, hospital: Hospital) -> None:
    anna, ben = reader("anna"), reader("ben", width=1280, height=720)
    hers, his = next_case(anna, hospital), next_case(ben, hospital)
    assert hers != his
    picture(ben, "6-1280x720")
    address = anna.url
    ben.goto(address)
    assert "somebody else is labelling" in told(ben)
    press(ben, "2")
    assert ben.get_attribute("#renal-brush", "aria-pressed") == "false"

    anna.keyboard.press("k")
    anna.fill("dialog input[name=words]", "<img src=x onerror=alert(1)>")
    anna.click("dialog button.primary")
    anna.wait_for_function("before => location.href !== before", arg=address)
    assert "proposed" in told(anna)
    assert image_in(anna) not in (hers, his)


def test_a_pacs_that_stops_keeps_nobody_from_submitting(reader: Callable, hospital: Hospital) -> None:
    page = reader("ben")
    next_case(page, hospital)
    labels = len(in_pacs(hospital.pacs, "SEG"))
    hospital.pacs.stop()
    try:
        press(page, "2")
        drawn = draw(page, 0.4, 0.5)
        submit(page)
        refused = page.request.get(f"{hospital.server.url}/proxy/dicom/studies")
        assert refused.status == 502
        picture(page, "7-pacs-stopped")
    finally:
        hospital.pacs.start()
    found = [pixels_by_image(seg) for seg in hospital.labels_in_pacs(labels + 1)]
    assert_same(next(seg for seg in found if drawn.keys() <= seg.keys()), drawn)
    next_case(page, hospital)


def test_a_click_names_its_pixel_and_the_network_answers_to_it(reader: Callable, hospital: Hospital) -> None:
    """Where the brush draws a dot, a click names the same pixel of the same image, and has its way there."""
    page = reader("ben")
    page.add_init_script(SPY)
    next_case(page, hospital)
    before = drawn_in(page)
    press(page, "3")
    drawn = draw(page, 0.55, 0.35, length=0)
    dots = new_in(page, before)
    assert len(dots) < 30
    press(page, "z")
    assert_same(settled(page, drawn), before)

    press(page, "2")
    press(page, "+")
    click_at(page, 0.55, 0.35)
    (click,) = page.evaluate("() => window.sent")[0]
    assert (click["structure"], click["foreground"]) == ("mass", True)
    place = click["key"], click["row"], click["column"]
    assert place in dots
    assert np.abs(np.mean([at for _, *at in dots], axis=0) - place[1:]).max() <= 1
    added = drawn_in(page)
    assert value_at(added, *place) == MASS
    assert "1 click," in page.inner_text("#renal-status")
    picture(page, "8-click-to-add")

    press(page, "-")
    click_at(page, 0.55, 0.35)
    taken = drawn_in(page)
    assert value_at(taken, *place) != MASS
    assert "1 click," in page.inner_text("#renal-status")  # on one spot the last word counts
    press(page, "z")
    assert_same(settled(page, taken), added)


def test_a_seg_that_ohif_writes_by_itself_becomes_the_label(
    reader: Callable, hospital: Hospital, tmp_path: Path
) -> None:
    """OHIF's own export, bits that are RLE-compressed, sent to the PACS by hand."""
    page = reader("ben")
    image = next_case(page, hospital)
    press(page, "2")
    drawn = draw(page, 0.5, 0.6)
    page.evaluate(LOAD)  # every slice, as by scrolling through them: else OHIF refuses to write
    with page.expect_download() as download:
        page.evaluate(EXPORT)
    download.value.save_as(tmp_path / "seg.dcm")
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    assert written.Modality == "SEG"
    requests.post(f"{hospital.pacs.root}/instances", (tmp_path / "seg.dcm").read_bytes(), timeout=30).raise_for_status()

    listing = f"{hospital.server.url}/datastore/?output=all"
    end = time.monotonic() + PATIENCE_MS / 1000
    while "final" not in page.request.get(listing).json()["objects"][image]["labels"]:
        assert time.monotonic() < end, hospital.server.log.read_text()[-2000:]
        page.wait_for_timeout(500)
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    assert "submitted label is shown" in told(page)
    assert_same(drawn_in(page), drawn)


def test_an_empty_label_is_submitted_only_after_a_question(reader: Callable, hospital: Hospital) -> None:
    page = reader("anna")
    image = next_case(page, hospital)
    press(page, "z")
    page.wait_for_timeout(500)
    assert drawn_in(page) == {}
    page.keyboard.press("Control+Enter")
    assert "no mass" in page.inner_text("dialog")
    page.click("dialog button.primary")
    page.wait_for_selector("#renal-status.good")
    record = page.request.get(f"{hospital.server.url}/datastore/label/info?label={image}").json()
    assert record["structures"] == ["mass"]  # and nothing is said about the kidneys
