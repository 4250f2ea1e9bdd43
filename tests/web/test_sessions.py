"""An image of the client's own: asked about, looked at by its owner, gone in time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lib.domain.errors import BusyError, UnknownImageError
from lib.web import sessions as module
from lib.web.sessions import Sessions
from lib.web.uploads import RequestFolder
from tests.web.conftest import Site


def upload(site: Site, **more: object) -> str:
    image = (site.studies / "P1_CP.nii.gz").read_bytes()
    answer = site.client.put("/session/", files={"files": ("mine.nii.gz", image)}, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()["session_id"]


def test_a_proposal_for_an_image_of_ones_own(site: Site) -> None:
    session = upload(site)
    answer = site.client.post(f"/infer/segment_cp?image=&session_id={session}&output=json")
    assert answer.status_code == 200, answer.text
    shown = site.client.get(f"/session/{session}").json()
    assert str(site.temporary) not in str(shown)
    assert site.client.get(f"/session/{session}?image=true").content == (site.studies / "P1_CP.nii.gz").read_bytes()
    assert site.client.delete(f"/session/{session}").status_code == 200
    assert site.left_behind() == []
    for path in (f"/session/{session}", "/session/%2e%2e", "/session/x%2f.."):
        assert site.client.get(path).status_code == 404
    assert site.client.post(f"/infer/segment_cp?session_id={session}").status_code == 404


def test_somebody_elses_image_is_not_there(make_site: Callable[..., Site]) -> None:
    site = make_site(users=True)
    session = upload(site, headers=site.token("an-annotator"))
    other = site.token("an-admin")
    assert site.client.get(f"/session/{session}", headers=other).status_code == 404
    assert site.client.delete(f"/session/{session}", headers=other).status_code == 404
    assert site.client.post(f"/infer/segment_cp?session_id={session}", headers=other).status_code == 404


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Sessions(minutes=1)


def add(found: Sessions) -> module.Session:
    folder = RequestFolder(megavoxels=1)
    return found.add("anna", folder.path / "image.nii", folder)


def test_a_session_ends_a_time_after_its_last_use(found: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    session = add(found)
    for now[0] in (50.0, 100.0):
        assert found.get(session.id, "anna").id == session.id
    now[0] = 161.0
    with pytest.raises(UnknownImageError, match="has ended"):
        found.get(session.id, "anna")
    assert not session.folder.path.exists()


def test_only_so_many_at_once(found: Sessions) -> None:
    for _ in range(module.MOST):
        found.check()
        add(found)
    with pytest.raises(BusyError, match="32 sessions are open"):
        found.check()
    found.close()
    found.check()
