"""The whole application, route by route."""

import json

from tests.web.conftest import Site


def test_info_and_a_proposal(site: Site) -> None:
    assert site.client.get("/info/").json()["labels"] == ["kidney", "mass", "cyst"]
    answer = site.client.post("/infer/segment_cp?image=P1_CP&output=json")
    assert answer.status_code == 200, answer.text
    assert answer.json()["model_version"] == "CP-test"
    assert not site.left_behind()
    print(json.dumps(site.client.get("/openapi.json").json())[:300])
    print(site.client.get("/metrics").text[:3000])
    for p in ["/healthz","/readyz","/datastore/?output=all","/nope","/login","/","/ohif/","/train/","/reload"]:
        a=site.client.get(p); print(p,a.status_code,a.text[:200], dict(a.headers))
