"""Proposals that wait on disk for their reader: opening such an image costs no computing.

One pair of files per image, ``<image_id>.nii.gz`` and ``<image_id>.json``; the latter holds the key that says from
which image file and which weights the proposal was made. A proposal whose key differs is never given.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.imaging.volume import Volume, write_bytes, write_volume
from lib.registry.models import stamp

_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingProposal:
    """A prepared answer.

    Attributes:
        key: What it was made from.
    """

    key: str
    label: Path
    reply: dict[str, Any]


class WaitingRoom:
    """A folder of prepared proposals; several processes may use it."""

    def __init__(self, folder: Path, most: int = _MOST) -> None:
        """Use a folder, which is made when the first proposal comes.

        Args:
            folder: Only this class writes there.
            most: Proposals to keep; the oldest go.
        """
        self._folder, self._most = folder, most

    def find(self, image_id: str, key: str = "") -> WaitingProposal | None:
        """Return the proposal that was made under this key, or under any when none is given; None without one."""
        try:
            note = json.loads(self._note(image_id).read_bytes())
        except (OSError, ValueError):
            return None
        label = self._folder / f"{image_id}.nii.gz"
        if not isinstance(note, dict) or note.get("key") != (key or note.get("key")):
            return None
        if note.get("label") != _content(label):
            return None
        return WaitingProposal(key=str(note["key"]), label=label, reply=note["reply"])

    def proposed(self, image_id: str, model_version: str) -> Path | None:
        """Label that a model version proposed for an image, as long as no other one was made since; else None."""
        try:
            note = json.loads(self._note(image_id).read_bytes())
        except (OSError, ValueError):
            return None
        label = self._folder / f"{image_id}.nii.gz"
        same = isinstance(note, dict) and note["reply"].get("model_version") == model_version
        return label if same and note.get("label") == _content(label) else None

    def keep(self, image_id: str, key: str, label: Volume, reply: dict[str, Any]) -> None:
        """Let a proposal wait; the note comes last, so a half-written pair is never found."""
        path = self._folder / f"{image_id}.nii.gz"
        self._note(image_id).unlink(missing_ok=True)
        write_volume(label, path)
        note = {"key": key, "label": _content(path), "reply": reply}
        write_bytes(json.dumps(note).encode(), self._note(image_id))
        self._forget_the_oldest()

    def _note(self, image_id: str) -> Path:
        return self._folder / f"{image_id}.json"

    def _forget_the_oldest(self) -> None:
        notes = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for note in notes[: max(0, len(notes) - self._most)]:
            note.unlink(missing_ok=True)
            note.with_suffix("").with_suffix(".nii.gz").unlink(missing_ok=True)


def key_of(files: Sequence[Path | None], *words: str) -> str:
    """Identify what a proposal is made from: files (image, sidecar, weights) as they are now, and words."""
    seen = [stamp(path) if path and path.is_file() else None for path in files]
    return hashlib.sha256(json.dumps([seen, words]).encode()).hexdigest()


def _content(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
