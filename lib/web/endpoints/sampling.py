"""``/activelearning``: which image to label next."""

from __future__ import annotations

import time
from typing import Any

from lib.web.door import TheDoor, TheUser
from lib.web.parameters import checked, without

_OURS = ("strategy",)
_KINDS = dict.fromkeys(("client_id", "image", "patient_id", "skip", "reason", "label_tag"), str)


def next_sample(door: TheDoor, user: TheUser, strategy: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """Choose the next image."""
    told = without(checked(params or {}, _KINDS), _OURS)
    if user.name:
        told["client_id"] = user.name
    if told.get("image") and door.app.mirror:
        told["image"] = door.app.mirror.image_id(told["image"])
    found = door.app.next_sample({**told, "strategy": strategy})
    if not found:
        return {}
    datastore = door.app.datastore()
    known = datastore.get_image_info(found["id"])
    shown = known.get("strategy")
    shown = shown if isinstance(shown, dict) else {}
    why = (shown.get(strategy) or {}).get("reason") if _asked_for(told) else found.get("reason")
    shown = {**shown, strategy: {"ts": int(time.time()), "reason": why or found.get("reason"), **_client(told)}}
    datastore.update_image_info(found["id"], {"strategy": shown})
    return {**found, **known, "strategy": shown}


def _client(told: dict[str, Any]) -> dict[str, Any]:
    return {"client_id": told["client_id"]} if told.get("client_id") else {}


def _asked_for(told: dict[str, Any]) -> bool:
    """Whether the reader named the case; why it was proposed before is then worth more."""
    return bool(told.get("image") or told.get("patient_id"))
