"""The application in this process, over a small cohort and small untrained networks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from monailabel.config import settings as framework_settings
from monailabel.interfaces.utils import app as framework_app

from lib.accounts import users as users_module
from lib.accounts.roles import Role
from lib.configs import settings as settings_module
from lib.configs.server import ServerSettings
from lib.nets.networks import Plan, build_network, save_weights
from lib.web.app import build, open_door
from lib.web.door import Door
from main import RenalApp

PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
OWN = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An application and how to ask it."""

    door: Door
    studies: Path
    temporary: Path
    client: TestClient

    def token(self, name: str) -> dict[str, str]:
        answer = self.client.post("/auth/token", data={"username": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"bearer {answer.json()['access_token']}"}

    def left_behind(self) -> list[str]:
        return [str(path.relative_to(self.temporary)) for path in self.temporary.rglob("*") if path.is_file()]


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A live folder with a small untrained network for CP, in front of an empty shipped folder."""
    monkeypatch.setattr(settings_module, "APP_FOLDER", tmp_path)
    torch.manual_seed(0)
    plan = Plan(code="CP", spacing_mm=(3.0, 3.0, 6.0), channels=(8, 16, 16))
    path = tmp_path / "live" / "CP" / "champion.safetensors"
    save_weights(path, build_network(plan).state_dict(), plan, {"version": "CP-test"})
    return tmp_path / "live"


@pytest.fixture
def make_site(
    tmp_path: Path, live: Path, make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Site]]:
    """Start an application: ``make_site(users=True, infer_queue=1)``."""
    opened: list[Door] = []
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    studies = make_cohort(["P1", "P2"], ["CP"], labelled=["P1_CP"])

    def make(*, users: bool = False, **settings: object) -> Site:
        monkeypatch.setattr(framework_settings, "MONAI_LABEL_APP_DIR", str(tmp_path))
        monkeypatch.setattr(framework_settings, "MONAI_LABEL_STUDIES", str(studies))
        monkeypatch.setattr(users_module, "_HASHER", CHEAP)
        app = RenalApp(str(tmp_path), str(studies), {"live": str(live)})
        monkeypatch.setitem(framework_app.apps, f"{tmp_path}{studies}", app)
        door = open_door(app, ServerSettings(users=str(tmp_path / "users.json"), **settings))
        opened.append(door)
        if users:
            for role in Role:
                door.admission.users.add(f"an-{role.title}", role, PASSWORD)
        client = TestClient(build(door), base_url=OWN, client=("127.0.0.1", 50000), follow_redirects=False)
        return Site(door=door, studies=studies, temporary=temporary, client=client)

    yield make
    for door in opened:
        door.app.datastore().store.close()
        door.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """Without users: open on loopback."""
    return make_site()
