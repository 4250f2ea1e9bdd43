"""The one table of routes: what is open, to whom, and what of MONAI Label's is closed and why.

A route that is not here is not served. A route of MONAI Label's that is not here fails a test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lib.web import listing
from lib.web.endpoints import (
    admin,
    images,
    infer,
    labels,
    login,
    pacs,
    proxy,
    quality,
    sampling,
    server,
    training,
    uploaded,
    viewer,
)
from lib.web.table import Lanes, Row, Who

_NO_PATHOLOGY = "this app has no models of pathology"
_NO_SCORING = "labels are not scored by a request; expected the command evaluate"
_MODELS = "a model goes live by training and promotion alone"
_ELSEWHERE = "it loads scripts from elsewhere; expected /openapi.json"
_READ_ONLY = "nothing is written to the PACS through the proxy"


def _open(who: Who, method: str, path: str, endpoint: Callable[..., Any], **more: Any) -> Row:
    return Row(method=method, path=path, who=who, endpoint=endpoint, **more)


def _closed(method: str, path: str, why: str) -> Row:
    return Row(method=method, path=path, who=Who.CLOSED, why=why, in_schema=False)


ROUTES: tuple[Row, ...] = (
    # the server
    _open(Who.PUBLIC, "GET", "/healthz", server.healthz),
    _open(Who.PUBLIC, "GET", "/readyz", server.readyz),
    _open(Who.COLLECTOR, "GET", "/metrics", server.metrics),
    _open(Who.ANNOTATOR, "GET", "/info/", server.info),
    _open(Who.ANNOTATOR, "GET", "/openapi.json", server.description, in_schema=False),
    _open(Who.ADMIN, "GET", "/logs/", server.logs),
    _closed("GET", "/logs/gpu", "it starts a program; expected /metrics"),
    _closed("POST", "/reload", "it stops a server; expected a restart"),
    _closed("GET", "/docs", _ELSEWHERE),
    # who asks
    _open(Who.PUBLIC, "GET", "/auth/", login.enabled),
    _open(Who.PUBLIC, "POST", "/auth/token", login.token, lane=Lanes.LOGIN),
    _open(Who.ANNOTATOR, "GET", "/auth/token/valid", login.valid),
    _open(Who.PUBLIC, "GET", "/login", login.page),
    _open(Who.PUBLIC, "POST", "/login", login.log_in, lane=Lanes.LOGIN),
    _open(Who.PUBLIC, "GET", "/login/oidc", login.begin_elsewhere, lane=Lanes.LOGIN),
    _open(Who.PUBLIC, "GET", "/login/oidc/callback", login.finish_elsewhere, lane=Lanes.LOGIN),
    _open(Who.PUBLIC, "POST", "/logout", login.log_out),
    # the admin's page
    _open(Who.ADMIN, "GET", "/admin", admin.page, in_schema=False),
    _open(Who.ADMIN, "POST", "/admin/promote", admin.promote, in_schema=False),
    _open(Who.ADMIN, "POST", "/admin/rollback", admin.rollback, in_schema=False),
    _open(Who.ADMIN, "POST", "/admin/jobs", admin.start_job, in_schema=False),
    # pages
    _open(Who.ANNOTATOR, "GET", "/", login.home, in_schema=False),
    _open(Who.PUBLIC, "GET", "/favicon.ico", server.favicon, in_schema=False),
    _open(Who.ANNOTATOR, "GET", "/ohif/{path:path}", server.viewer, in_schema=False),
    _closed("GET", "/static", "its files are under /ohif/"),
    # images
    _open(Who.ANNOTATOR, "GET", "/datastore/", listing.listing),
    _open(Who.ANNOTATOR, "GET", "/datastore/image", images.download),
    _open(Who.ANNOTATOR, "HEAD", "/datastore/image", images.exists),
    _open(Who.ANNOTATOR, "GET", "/datastore/image/info", images.info),
    _open(Who.ANNOTATOR, "PUT", "/datastore/image", images.add),
    _open(Who.ANNOTATOR, "PUT", "/datastore/", images.add, in_schema=False),
    _open(Who.REVIEWER, "PUT", "/datastore/image/info", images.update_info),
    _open(Who.REVIEWER, "GET", "/datastore/dataset", images.export, lane=Lanes.EXPORT),
    _open(Who.ADMIN, "DELETE", "/datastore/image", images.remove),
    _open(Who.ADMIN, "DELETE", "/datastore/", images.remove, in_schema=False),
    # labels
    _open(Who.ANNOTATOR, "GET", "/datastore/label", labels.download),
    _open(Who.ANNOTATOR, "HEAD", "/datastore/label", labels.exists),
    _open(Who.ANNOTATOR, "GET", "/datastore/label/info", labels.info),
    _open(Who.ANNOTATOR, "PUT", "/datastore/label", labels.save),
    _open(Who.REVIEWER, "PUT", "/datastore/label/info", labels.update_info),
    _open(Who.REVIEWER, "PUT", "/datastore/updatelabelinfo", labels.update_info_by_params, in_schema=False),
    _open(Who.REVIEWER, "DELETE", "/datastore/label", labels.remove),
    _open(Who.REVIEWER, "GET", "/datastore/label/suspicious", labels.suspicious),
    _open(Who.REVIEWER, "POST", "/datastore/label/release", labels.release),
    # the loop
    _open(Who.ANNOTATOR, "POST", "/activelearning/{strategy}", sampling.next_sample),
    _open(Who.ANNOTATOR, "POST", "/infer/{model}", infer.infer, lane=Lanes.INFER),
    _open(Who.ANNOTATOR, "GET", "/train/", training.status),
    _open(Who.ADMIN, "GET", "/train/runs", training.runs),
    _open(Who.ADMIN, "GET", "/train/decisions", training.decisions),
    _open(Who.ADMIN, "POST", "/train/", training.start_all, in_schema=False),
    _open(Who.ADMIN, "POST", "/train/{model}", training.start),
    _open(Who.ADMIN, "DELETE", "/train/", training.stop),
    _open(Who.REVIEWER, "GET", "/quality/", quality.quality),
    _open(Who.ANNOTATOR, "GET", "/batch/infer", training.batch_status),
    _open(Who.ADMIN, "POST", "/batch/infer/{model}", training.batch_start),
    _open(Who.ADMIN, "DELETE", "/batch/infer", training.batch_stop),
    _closed("POST", "/infer/wsi/{model}", _NO_PATHOLOGY),
    _closed("POST", "/infer/wsi_v2/{model}", _NO_PATHOLOGY),
    _closed("GET", "/scoring/", _NO_SCORING),
    _closed("POST", "/scoring/", _NO_SCORING),
    _closed("POST", "/scoring/{method}", _NO_SCORING),
    _closed("DELETE", "/scoring/", _NO_SCORING),
    # models
    _open(Who.ADMIN, "GET", "/model/{model}", server.model_file),
    _open(Who.ADMIN, "GET", "/model/info/{model}", server.model_info),
    _closed("PUT", "/model/{model}", _MODELS),
    _closed("DELETE", "/model/{model}", _MODELS),
    # the viewer's panel
    _open(Who.ANNOTATOR, "GET", "/viewer/case", viewer.case),
    _open(Who.ANNOTATOR, "POST", "/viewer/proposal/{model}", viewer.proposal, lane=Lanes.INFER),
    _open(Who.ANNOTATOR, "GET", "/viewer/label", viewer.label),
    _open(Who.ANNOTATOR, "PUT", "/viewer/label", viewer.save),
    _open(Who.ANNOTATOR, "POST", "/viewer/measure", viewer.measure),
    # images of the client's own
    _open(Who.ANNOTATOR, "PUT", "/session/", uploaded.create),
    _open(Who.ANNOTATOR, "GET", "/session/{session_id}", uploaded.get),
    _open(Who.ANNOTATOR, "DELETE", "/session/{session_id}", uploaded.remove),
    # the PACS
    _open(Who.ANNOTATOR, "GET", "/pacs/image", pacs.image),
    _open(Who.ANNOTATOR, "GET", "/pacs/study", pacs.study),
    _open(Who.ANNOTATOR, "GET", "/pacs/status", pacs.status),
    _open(Who.ANNOTATOR, "GET", "/proxy/dicom/wado/{path:path}", proxy.forward, in_schema=False),
    _open(Who.ANNOTATOR, "GET", "/proxy/dicom/qido/{path:path}", proxy.forward, in_schema=False),
    _closed("GET", "/proxy/dicom/stow/{path:path}", _READ_ONLY),
    _open(Who.ANNOTATOR, "GET", "/proxy/dicom/{path:path}", proxy.forward, in_schema=False),
    _closed("POST", "/proxy/dicom/wado/{path:path}", _READ_ONLY),
    _closed("POST", "/proxy/dicom/qido/{path:path}", _READ_ONLY),
    _closed("POST", "/proxy/dicom/stow/{path:path}", _READ_ONLY),
    _closed("POST", "/proxy/dicom/{path:path}", _READ_ONLY),
)
