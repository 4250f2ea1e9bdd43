"""Logins by OpenID Connect: a site's own provider says who somebody is, and which role they have.

Authorization code flow with PKCE (RFC 7636), state and nonce (OpenID Connect Core 1.0, sections 3.1 and 15.5.2).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from cachetools import TTLCache

from lib.accounts.loopback import is_loopback
from lib.accounts.roles import ROLE_NAMES, Role, get_role
from lib.accounts.users import User
from lib.domain.errors import BadRequestError, NotLoggedInError, ProviderError

ATTEMPT_S = 600  # in which a person has to log in
_MOST_ATTEMPTS = 10_000
_TIMEOUT_S = 10
_KEYS_S = 3600
_LEEWAY_S = 60  # that two clocks may differ by
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_NEEDED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """What is agreed with the provider.

    Attributes:
        issuer: Address that identifies it; ``/.well-known/openid-configuration`` is below.
        client: Id under which it knows this server.
        secret: Empty for a public client.
        scope: What is asked for, separated by spaces.
        name_claim: Claim of the ID token that holds the user's name.
        role_claim: Claim that holds names of roles or groups; dots lead into objects (``realm_access.roles``).
        role_prefix: What a role of this server begins with there: ``renal-loop-reviewer``.
    """

    issuer: str
    client: str
    secret: str = ""
    scope: str = "openid profile"
    name_claim: str = "preferred_username"
    role_claim: str = "roles"
    role_prefix: str = "renal-loop-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A login that has begun.

    Attributes:
        state: Ties the provider's answer to it.
        nonce: Ties the ID token to it.
        verifier: Proves to the provider that the answer comes back to who began.
        answer_to: Address of this server that the provider sends the browser to.
        next_path: Page of this server to open then.
    """

    state: str
    nonce: str
    verifier: str
    answer_to: str
    next_path: str


class Provider:
    """One provider of logins; safe to share between threads.

    Raises:
        BadRequestError: When the settings could not lead to a safe login.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        address = urlsplit(settings.issuer)
        if address.scheme != "https" and not (address.scheme == "http" and is_loopback(address.hostname or "")):
            msg = "setting oidc_issuer is not an https:// address; expected the issuer of your provider"
            raise BadRequestError(msg)
        if not settings.client:
            msg = "setting oidc_client is empty; expected the id under which the provider knows this server"
            raise BadRequestError(msg)
        self.settings = settings
        self._attempts: TTLCache[str, Attempt] = TTLCache(_MOST_ATTEMPTS, ttl=ATTEMPT_S)
        self._known: TTLCache[str, dict[str, Any]] = TTLCache(1, ttl=_KEYS_S)
        self._keys: dict[str, jwt.PyJWKClient] = {}
        self._guard = Lock()

    def begin(self, answer_to: str, next_path: str) -> tuple[str, str]:
        """Begin a login: where to send the browser, and the state that it has to bring back.

        Raises:
            ProviderError: When the provider cannot be asked.
        """
        attempt = Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            answer_to=answer_to,
            next_path=next_path,
        )
        endpoint = self._metadata()["authorization_endpoint"]
        with self._session(attempt) as session:
            url, _ = session.create_authorization_url(
                endpoint, state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier
            )
        with self._guard:
            self._attempts[attempt.state] = attempt
        return url, attempt.state

    def finish(self, answer: str, state: str) -> tuple[User, str]:
        """End a login: who it is, and the page to open.

        Args:
            answer: Query of the address that the provider sent the browser to.
            state: What the browser brought back of its own.

        Raises:
            NotLoggedInError: When the answer is not to this browser's attempt, or the user has no role here.
            ProviderError: When the provider cannot be asked, or its token cannot be trusted.
        """
        told = {name: values[-1] for name, values in parse_qs(answer).items()}
        if "code" not in told:
            msg = "the provider did not let you in; expected a login that succeeds there"
            raise NotLoggedInError(msg)
        with self._guard:
            attempt = self._attempts.pop(state, None) if told.get("state") == state else None
        if attempt is None:
            msg = "this login was not begun here, or too long ago; expected a new one"
            raise NotLoggedInError(msg)
        return self._user(self._claims(attempt, told["code"])), attempt.next_path

    def _claims(self, attempt: Attempt, code: str) -> dict[str, Any]:
        """What the ID token says, once it is proven."""
        metadata = self._metadata()
        try:
            with self._session(attempt) as session:
                token = session.fetch_token(
                    metadata["token_endpoint"], code=code, code_verifier=attempt.verifier, timeout=_TIMEOUT_S
                )
            claims: dict[str, Any] = jwt.decode(
                token["id_token"],
                self._key(metadata["jwks_uri"], token["id_token"]),
                algorithms=_ALGORITHMS,
                audience=self.settings.client,
                issuer=metadata["issuer"],
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (AuthlibBaseError, requests.RequestException, jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            msg = f"the provider's answer cannot be used ({type(error).__name__}); expected an ID token that it signed"
            raise ProviderError(msg) from None
        if not secrets.compare_digest(str(claims.get("nonce", "")).encode(), attempt.nonce.encode()):
            msg = "the provider's ID token belongs to another login; expected the nonce of this one"
            raise ProviderError(msg)
        return claims

    def _user(self, claims: Mapping[str, Any]) -> User:
        """Name and highest role.

        Raises:
            NotLoggedInError: When the user cannot be named, or has no role here.
        """
        settings = self.settings
        name = claims.get(settings.name_claim)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            msg = f"the provider's claim {settings.name_claim!r} names nobody; expected letters, digits, '.', '_', '@'"
            raise NotLoggedInError(msg)
        names = {f"{settings.role_prefix}{role}": role for role in ROLE_NAMES}
        roles: list[Role] = [get_role(names[held]) for held in _held(claims, settings.role_claim) if held in names]
        if not roles:
            msg = f"the provider gives you no role here; expected one of: {', '.join(names)}"
            raise NotLoggedInError(msg)
        return User(name=name, role=max(roles))

    def _session(self, attempt: Attempt) -> OAuth2Session:
        settings = self.settings
        return OAuth2Session(
            settings.client,
            settings.secret or None,
            token_endpoint_auth_method="client_secret_basic" if settings.secret else "none",
            scope=settings.scope,
            redirect_uri=attempt.answer_to,
            code_challenge_method="S256",
        )

    def _metadata(self) -> dict[str, Any]:
        """What the provider says of itself (OpenID Connect Discovery 1.0), asked for once an hour."""
        with self._guard:
            if found := self._known.get(""):
                return found
        address = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            answer = requests.get(address, timeout=_TIMEOUT_S)
            answer.raise_for_status()
            metadata = answer.json()
        except (requests.RequestException, ValueError) as error:
            msg = f"the provider of logins does not answer ({type(error).__name__}); expected its configuration"
            raise ProviderError(msg) from None
        if not isinstance(metadata, dict) or not all(isinstance(metadata.get(name), str) for name in _NEEDED):
            msg = f"the provider's configuration is incomplete; expected {', '.join(_NEEDED)}"
            raise ProviderError(msg)
        if metadata["issuer"].rstrip("/") != self.settings.issuer.rstrip("/"):
            msg = "the provider's configuration names another issuer; expected that of the setting oidc_issuer"
            raise ProviderError(msg)
        with self._guard:
            self._known[""] = metadata
        return metadata

    def _key(self, address: str, token: str) -> jwt.PyJWK:
        """The provider's key that a token names; its only one when the token names none."""
        with self._guard:
            if address not in self._keys:
                self._keys = {address: jwt.PyJWKClient(address, lifespan=_KEYS_S, timeout=_TIMEOUT_S)}
            client = self._keys[address]
        if "kid" in jwt.get_unverified_header(token):
            return client.get_signing_key_from_jwt(token)
        (only,) = client.get_jwk_set().keys
        return only


def _held(claims: Mapping[str, Any], path: str) -> list[str]:
    """Names of roles or groups at a claim; none where there is no such claim."""
    found: object = claims
    for part in [path] if path in claims else path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return found.split()
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
