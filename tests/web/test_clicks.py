"""``refine_clicks`` over HTTP: what it starts from, what it answers, and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nrrd
import numpy as np
import pytest
import torch

from lib.domain.structures import CYST, KIDNEY, MASS
from lib.imaging.volume import Volume, read_label, volume_bytes
from lib.nets.clicks import CLICK_PLAN
from lib.nets.networks import build_network, save_weights
from tests.conftest import two_kidneys
from tests.web.conftest import Site

INSIDE, OUTSIDE = [14, 20, 8], [40, 22, 8]  # the middle of the other kidney; within the mass
CLICKS = {"mass": {"foreground": [INSIDE], "background": [OUTSIDE]}}


@pytest.fixture
def site(make_site: Callable[..., Site], tmp_path: Path) -> Site:
    """With a small untrained click network."""
    torch.manual_seed(0)
    plan = replace(CLICK_PLAN, spacing_mm=(3.0, 3.0, 6.0), window=(16, 16, 8), channels=(8, 16, 16))
    path = tmp_path / "model" / "shipped" / "clicks.safetensors"
    save_weights(path, build_network(plan).state_dict(), plan, {"version": "clicks-test"})
    return make_site()


def ask(site: Site, image: str = "P1_CP", output: str = "json", sent: bytes | None = None, **params: object):
    files = {"label": ("label.nii.gz", sent)} if sent else None
    url = f"/infer/refine_clicks?image={image}&output={output}"
    return site.client.post(url, data={"params": json.dumps(params)}, files=files)


def answered(site: Site, tmp_path: Path, **asked: object) -> np.ndarray:
    answer = ask(site, output="image", **asked)
    assert answer.status_code == 200, answer.text
    (path := tmp_path / "answer.nii.gz").write_bytes(answer.content)
    return read_label(path).data


def test_viewers_list_it_among_the_interactive_models_and_after_the_others(site: Site) -> None:
    models = site.client.get("/info/").json()["models"]
    assert list(models)[-1] == "refine_clicks"
    assert models["refine_clicks"]["type"] == "deepedit"
    assert models["refine_clicks"]["labels"] == {"kidney": 1, "mass": 2, "cyst": 3}


def test_without_weights_it_is_not_offered(make_site: Callable[..., Site]) -> None:
    site = make_site()
    assert "refine_clicks" not in site.client.get("/info/").json()["models"]
    assert ask(site, **CLICKS).status_code == 404


def test_a_readers_label_is_what_clicks_correct(site: Site, tmp_path: Path) -> None:
    _, truth = two_kidneys()
    found = answered(site, tmp_path, **CLICKS)
    assert found[tuple(INSIDE)] == MASS != truth.data[tuple(INSIDE)]
    assert found[tuple(OUTSIDE)] != MASS == truth.data[tuple(OUTSIDE)]
    reply = ask(site, **CLICKS).json()
    assert reply["started_from"] == "reader's label"
    assert reply["clicks"]["mass"] == {"foreground": 1, "background": 1}
    changed = np.argwhere(found != truth.data)
    assert reply["changed_voxels"] == len(changed)
    assert reply["changed_box"] == [changed.min(0).tolist(), changed.max(0).tolist()]
    assert reply["label_names"] == {"kidney": 1, "mass": 2, "cyst": 3}
    assert reply["model_version"] == "clicks-test"
    assert site.left_behind() == []


def test_an_image_without_a_label_starts_from_its_proposal(site: Site, tmp_path: Path) -> None:
    assert ask(site, "P2_CP", **CLICKS).json()["started_from"] == "proposal"
    assert ask(site, "P1_CP", start="proposal", **CLICKS).json()["started_from"] == "proposal"
    proposal = site.client.post("/infer/segment_auto?image=P2_CP&output=image")
    (path := tmp_path / "proposal.nii.gz").write_bytes(proposal.content)
    np.testing.assert_array_equal(answered(site, tmp_path, image="P2_CP"), read_label(path).data)


def test_the_label_on_the_screen_is_what_clicks_correct_when_it_is_sent(site: Site, tmp_path: Path) -> None:
    image, _ = two_kidneys()
    drawn = np.zeros(image.shape, np.uint8)
    drawn[1:3, 1:3, 1:3] = CYST
    sent = volume_bytes(Volume(data=drawn, affine=image.affine))
    turned = volume_bytes(Volume(data=drawn[::-1], affine=image.affine @ np.diag([-1, 1, 1, 1])
                                 + np.outer(image.affine[:, 0] * (image.shape[0] - 1), [0, 0, 0, 1])))  # fmt: skip
    assert ask(site, sent=sent).json()["started_from"] == "label sent"
    for content in (sent, turned):
        np.testing.assert_array_equal(answered(site, tmp_path, sent=content), drawn)
    elsewhere = volume_bytes(Volume(data=drawn, affine=image.affine @ np.diag([2, 1, 1, 1])))
    refused = ask(site, sent=elsewhere)
    assert (refused.status_code, refused.json()["error"]) == (400, "GeometryError")


def test_slicers_and_ohifs_ways_of_clicking_give_the_same_label(site: Site, tmp_path: Path) -> None:
    ours = answered(site, tmp_path, mass={"foreground": [INSIDE]}, kidney={"foreground": [OUTSIDE]})
    slicers = answered(site, tmp_path, mass=[INSIDE], kidney=[OUTSIDE], cyst=[], label="mass")
    np.testing.assert_array_equal(slicers, ours)
    assert ours[tuple(OUTSIDE)] == KIDNEY
    answer = ask(site, output="image", mass=[INSIDE], kidney=[OUTSIDE], background=[], result_extension=".nrrd",
                 result_dtype="uint8", result_compress=False, restore_label_idx=False)  # fmt: skip
    (path := tmp_path / "answer.nrrd").write_bytes(answer.content)
    np.testing.assert_array_equal(nrrd.read(str(path))[0], ours)


REFUSED = [
    ({"mass": [[48, 0, 0]]}, 400, "BadRequestError", "outside of the image"),
    ({"spleen": [[1, 1, 1]]}, 400, "UnknownStructureError", "'spleen'; expected one of"),
    ({"image": "nobody", "mass": [[1, 1, 1]]}, 404, "UnknownImageError", "no image has this id"),
    ({"image": "P2_CP", "start": "label"}, 400, "BadRequestError", "no reader has labelled"),
    ({"start": "yesterday"}, 400, "BadRequestError", "expected one of: auto, label, proposal"),
    ({"label": 7, "foreground": [[1, 1, 1]]}, 400, "BadRequestError", "option label is int"),
    ({"sent": b"hello", "mass": [[1, 1, 1]]}, 400, "BadImageError", "not a NIfTI image"),
]


def test_what_cannot_be_answered_is_refused_and_leaves_nothing(site: Site) -> None:
    for asked, status, error, said in REFUSED:
        answer = ask(site, **asked)
        assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
        assert said in answer.json()["detail"]
    assert site.left_behind() == []
