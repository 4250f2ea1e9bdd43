"""Every operation of the API description, with what schemathesis thinks of: nothing makes the server fail."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from monailabel.endpoints import batch_infer, train

from tests.web.conftest import Site

EXAMPLES = 5
SERVER_ERROR = 500


@pytest.fixture
def site(make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> Site:
    """With users; training is asked for but starts no process."""
    monkeypatch.setattr(train, "run_model", lambda *_: {"status": "SUBMITTED"})
    monkeypatch.setattr(batch_infer, "run", lambda *_: {"status": "SUBMITTED"})
    return make_site(users=True)


@pytest.mark.slow
def test_no_request_makes_the_server_fail(site: Site) -> None:
    token = site.token("an-admin")
    schema = schemathesis.openapi.from_asgi("/openapi.json", site.client.app, headers=token)
    failed: list[tuple[str, str, int, Any]] = []
    count = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            nonlocal count
            count += 1
            answer = case.call(headers=token)
            if answer.status_code >= SERVER_ERROR and case.path != "/readyz":
                failed.append((case.method, case.path, answer.status_code, answer.text))

        ask()
    assert failed == []
    assert count > EXAMPLES * 20
