"""Settings of the PACS: given to the command, or in the environment, there also as MONAI Label calls them."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from lib.configs.rules import read_rule
from lib.configs.server import ServerSettings
from lib.configs.settings import APP_FOLDER, looked_up
from lib.domain.errors import BadRequestError
from lib.pacs.archive import Address
from lib.pacs.mirror import MirrorRule

_WEB = ("http://", "https://")
_KEYWORD = re.compile(r"[A-Z][A-Za-z]{2,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """What a site may change about its PACS; settings ``pacs_...``.

    Attributes:
        headers: What authenticates us there; from ``pacs_user`` and ``pacs_password``, or ``pacs_token``.
        folder: What is kept of the PACS: the cohort and what leads back to patients.
        centre: Name that stands for the hospital.
        query: Further conditions on the studies that are taken, as ``StudyDate=20260101-&...``.
        rule: When to look, when a study is complete, whether labels are stored.
        timeout_s: Longest wait for an answer.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: str = ""
    centre: str = "PACS"
    query: Mapping[str, str] = field(default_factory=dict)
    rule: MirrorRule = field(default_factory=MirrorRule)
    timeout_s: float = 30.0

    @classmethod
    def from_conf(cls, conf: Mapping[str, str]) -> ArchiveSettings:
        """Read the settings of a server.

        Raises:
            BadRequestError: When one cannot be understood.
        """
        look_up = partial(looked_up, conf)
        return cls(
            headers=_headers(look_up("pacs_user"), look_up("pacs_password"), look_up("pacs_token")),
            folder=look_up("pacs_folder") or "",
            centre=look_up("pacs_centre") or "PACS",
            query=_query(look_up("pacs_query") or ""),
            rule=read_rule(MirrorRule, "pacs", look_up),
            timeout_s=ServerSettings.from_conf(conf).pacs_timeout_s,
        )

    def address(self, url: str) -> Address:
        """How the PACS at a URL is asked."""
        return Address(
            url=url,
            headers=self.headers,
            timeout_s=self.timeout_s,
            query=self.query,
            search=os.environ.get("MONAI_LABEL_QIDO_PREFIX", "").strip("/"),
            retrieve=os.environ.get("MONAI_LABEL_WADO_PREFIX", "").strip("/"),
            store=os.environ.get("MONAI_LABEL_STOW_PREFIX", "").strip("/"),
        )

    def folder_of(self, url: str) -> Path:
        """What is kept of the PACS at a URL; each address has its own."""
        if self.folder:
            return Path(self.folder)
        parts = urlsplit(url)
        digest = hashlib.sha256(f"{parts.netloc}{parts.path.rstrip('/')}".encode()).hexdigest()[:8]
        return APP_FOLDER / "data" / "pacs" / f"{parts.hostname}-{parts.port or parts.scheme}-{digest}"


def is_web(studies: str) -> bool:
    """Whether studies are a PACS's address."""
    return studies.startswith(_WEB)


def _headers(user: str | None, password: str | None, token: str | None) -> Mapping[str, str]:
    user = user or os.environ.get("MONAI_LABEL_DICOMWEB_USERNAME")
    password = password or os.environ.get("MONAI_LABEL_DICOMWEB_PASSWORD")
    if token:
        return {"Authorization": f"Bearer {token}"}
    if user and password:
        packed = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
        return {"Authorization": f"Basic {packed}"}
    return {}


def _query(text: str) -> dict[str, str]:
    found = dict(parse_qsl(text, keep_blank_values=True))
    if text and (not found or not all(_KEYWORD.fullmatch(name) for name in found)):
        msg = "setting pacs_query cannot be understood; expected DICOM keywords, as StudyDate=20260101-&PatientSex=F"
        raise BadRequestError(msg)
    return found
