"""Settings of the HTTP server: ``--conf NAME VALUE``, else ``RENAL_LOOP_NAME`` in the environment, else the default."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from lib.accounts.provider import Provider, ProviderSettings
from lib.configs.settings import looked_up
from lib.domain.errors import BadRequestError

_NO_HOME = ".config"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What a site may change.

    Attributes:
        users: File of the local users.
        token_hours: How long a login lasts.
        infer_workers: Inferences at once.
        infer_queue: Inferences that may wait; more are refused.
        timeout_s: Longest time until an answer begins, upload included.
        upload_mb: Largest body of a request, in 10⁶ bytes.
        upload_megavoxels: Largest uploaded image or label, in 10⁶ voxels.
        session_minutes: How long an uploaded image is kept that belongs to no cohort.
        metrics_token: What a metrics collector sends as ``Authorization: Bearer``; empty, only an admin may read them.
        pacs_timeout_s: Longest wait for the PACS.
        oidc_issuer: Provider of logins (OpenID Connect); empty for local users alone.
        oidc_client: Id under which it knows this server.
        oidc_secret: The secret that goes with it; empty for a public client.
        oidc_scope: What is asked of it.
        oidc_name_claim: Claim that holds the user's name.
        oidc_role_claim: Claim that holds roles or groups; dots lead into objects.
        oidc_role_prefix: What a role of this server begins with there.
        inbox: Folder of the server whose folders of DICOM an admin may import from the page; empty for none.
    """

    users: str = ""
    token_hours: float = 12.0
    infer_workers: int = 1
    infer_queue: int = 8
    timeout_s: float = 120.0
    upload_mb: float = 512.0
    upload_megavoxels: float = 128.0
    session_minutes: float = 60.0
    metrics_token: str = ""
    pacs_timeout_s: float = 30.0
    oidc_issuer: str = ""
    oidc_client: str = ""
    oidc_secret: str = field(default="", repr=False)
    oidc_scope: str = "openid profile"
    oidc_name_claim: str = "preferred_username"
    oidc_role_claim: str = "roles"
    oidc_role_prefix: str = "renal-loop-"
    inbox: str = ""

    @classmethod
    def from_conf(cls, conf: Mapping[str, str]) -> ServerSettings:
        """Read the settings of a server.

        Raises:
            BadRequestError: When a number is not a positive one.
        """
        given: dict[str, str | int | float] = {}
        for item in fields(cls):
            text = looked_up(conf, item.name)
            if text is not None:
                given[item.name] = text if item.type == "str" else _number(item.name, text, whole=item.type == "int")
        return cls(**given)  # type: ignore[arg-type]

    def provider(self) -> Provider | None:
        """Where people log in who have no password here.

        Raises:
            BadRequestError: When the settings could not lead to a safe login.
        """
        if not self.oidc_issuer:
            return None
        names = [item.name for item in fields(ProviderSettings)]
        return Provider(ProviderSettings(**{name: getattr(self, f"oidc_{name}") for name in names}))

    @property
    def users_file(self) -> Path:
        """Where the local users are; outside repository and cohort."""
        if self.users:
            return Path(self.users)
        base = os.environ.get("XDG_CONFIG_HOME")
        return (Path(base) if base else Path.home() / _NO_HOME) / "renal-loop" / "users.json"


def _number(name: str, text: str, *, whole: bool) -> int | float:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        msg = f"setting {name} is {text!r}; expected a positive {'whole ' if whole else ''}number"
        raise BadRequestError(msg)
    return number
