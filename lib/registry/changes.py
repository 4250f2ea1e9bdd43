"""What changes which version serves: promotion, rollback, taking over what an earlier release left, pruning.

Order of a change: weights and record are on the disk; the intent goes on record; ``serving.json`` is replaced (the one
step that readers see); what serves now goes on record; old weights are pruned. A process that ends between any two
steps leaves either the old or the new version serving, and ``repair`` does what was left. Lock order: a sequence's
lock, then the audit log's.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from lib.domain import audit
from lib.domain.audit import AuditEvent
from lib.domain.errors import BadRequestError, BadWeightsError, UnknownModelError
from lib.imaging.volume import write_bytes
from lib.registry.audit import AuditLog
from lib.registry.figures import figures_of, finite
from lib.registry.models import ModelFolder
from lib.registry.serving import ServedVersion, Serving, read_serving, write_serving
from lib.registry.versions import TrainingRun, VersionRecord, file_sha256, version_in, write_record

logger = logging.getLogger(__name__)

GATE, UPKEEP = "gate", "upkeep"
FEWEST_KEPT = 3  # the champion, the one before it, and the newest, which may be about to serve


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Versions of every sequence; any number of processes may change them at once.

    Attributes:
        keep: Weight files of so many versions per sequence stay; the champion, the one before and the newest always do.
    """

    models: ModelFolder
    audit: AuditLog
    keep: int = 10

    def add(self, code: str, version: str, training: TrainingRun, decision: Mapping[str, Any]) -> VersionRecord:
        """Put a trained version, whose weights are in place, on record, with the verdict on it.

        Raises:
            OSError: When its weights are not there.
        """
        with self._lock(code):
            record = self._write(code, version, "trained", training=training, decision=decision)
        about = {"code": code, "version": version, "sha256": record.sha256, "verdict": record.verdict}
        event = AuditEvent(
            who=GATE,
            what=audit.MODEL_DECIDED,
            why=record.reason,
            about={**about, "figures": finite(figures_of(decision))},
        )
        self.audit.append([event])
        return record

    def promote(self, version: str, *, who: str, reason: str) -> Serving:
        """Let a version serve.

        Args:
            version: One that has a record and weights.
            who: The person, or ``gate``.
            reason: Why; it goes on record.

        Raises:
            BadRequestError: When the reason is empty, or the version serves already.
            UnknownModelError: When there is no such version.
            BadWeightsError: When its weights are missing or not those that were recorded.
        """
        code = self.models.record(version).code
        with self._lock(code):
            self._adopt(code)
            record = self.models.record(version)
            if self.models.find(code) == self.models.weights(code, version):
                msg = f"version {version!r} serves already; expected another one"
                raise BadRequestError(msg)
            champion = ServedVersion(version=version, sha256=record.sha256)
            before = self._serving_now(code)
            return self._change(code, champion, before, who=who, reason=reason, what=audit.MODEL_PROMOTE)

    def rollback(self, code: str, *, who: str, reason: str) -> Serving:
        """Let the version before serve again; the one that serves now becomes the one before.

        Raises:
            BadRequestError: When the reason is empty.
            UnknownModelError: When nothing served before.
            BadWeightsError: When its weights are missing or not those that were recorded.
        """
        with self._lock(code):
            self._adopt(code)
            serving = read_serving(self.models.folder(code))
            if serving is None or serving.previous is None:
                msg = f"nothing served sequence {code!r} before; expected one that was promoted since"
                raise UnknownModelError(msg)
            what = audit.MODEL_ROLLBACK
            return self._change(code, serving.previous, serving.champion, who=who, reason=reason, what=what)

    def repair(self) -> None:
        """Do what a process that ended too early left undone, and take over what earlier releases left."""
        for code in self.models.codes():
            with self._lock(code):
                self._adopt(code)
                serving = read_serving(self.models.folder(code))
                if serving is not None:
                    self._note_unless_noted(code, serving)
                    self._prune(code, serving)

    # ---- inside, under the sequence's lock

    def _lock(self, code: str) -> FileLock:
        self.models.folder(code).mkdir(parents=True, exist_ok=True)
        return FileLock(self.models.folder(code) / "lock")

    def _serving_now(self, code: str) -> ServedVersion | None:
        """What readers get now, as something to return to: shipped weights are copied beside the others."""
        found, serving = self.models.find(code), read_serving(self.models.folder(code))
        for served in (serving.champion, serving.previous) if serving else ():
            if served and found == self.models.weights(code, served.version):
                return served
        return self._take_over(code, found, "shipped") if found else None

    def _change(
        self, code: str, champion: ServedVersion, before: ServedVersion | None, *, who: str, reason: str, what: str
    ) -> Serving:
        if not reason.strip():
            msg = "the reason is empty; expected the sentence that an auditor will read"
            raise BadRequestError(msg)
        self._check(code, champion)
        serving = Serving(champion=champion, previous=before, changed=_now(), who=who, reason=reason)
        about = {"code": code, "version": champion.version, "before": before.version if before else ""}
        self.audit.append([AuditEvent(who=who, what=what, why=reason, about=about)])
        write_serving(serving, self.models.folder(code))
        self.audit.append([_serves(code, serving)])
        logger.info("version %s of %s serves from now on: %s", champion.version, code, reason)
        self._prune(code, serving)
        return serving

    def _check(self, code: str, served: ServedVersion) -> None:
        path = self.models.weights(code, served.version)
        if not path.is_file():
            msg = (
                f"the weights of version {served.version!r} are gone (pruned?); expected a version that still has them"
            )
            raise BadWeightsError(msg)
        found = file_sha256(path)
        if found != served.sha256:
            msg = (
                f"the weights of version {served.version!r} have SHA-256 {found[:12]}…; expected {served.sha256[:12]}…"
            )
            raise BadWeightsError(msg)

    def _adopt(self, code: str) -> None:
        """Give what an earlier release served a record and a pointer; its files stay where they are."""
        folder, champion = self.models.folder(code), self.models.earlier_release(code, "champion")
        if not champion.is_file() or read_serving(folder) is not None:
            return
        previous = self.models.earlier_release(code, "previous")
        before = self._take_over(code, previous, "adopted") if previous.is_file() else None
        served = self._take_over(code, champion, "adopted")
        reason = "served already when the registry first looked; an earlier release or a person put it there"
        serving = Serving(champion=served, previous=before, changed=_now(), who=UPKEEP, reason=reason)
        about = {"code": code, "version": served.version, "sha256": served.sha256}
        self.audit.append([AuditEvent(who=UPKEEP, what=audit.MODEL_ADOPTED, why=reason, about=about)])
        write_serving(serving, folder)
        self.audit.append([_serves(code, serving)])

    def _take_over(self, code: str, file: Path, source: Literal["shipped", "adopted"]) -> ServedVersion:
        version, sha256 = version_in(file, code), file_sha256(file)
        kept = self.models.weights(code, version)
        if kept.is_file() and file_sha256(kept) != sha256:  # the same name, other weights
            version = f"{version}-{sha256[:12]}"
            kept = self.models.weights(code, version)
        if not kept.is_file():
            write_bytes(file.read_bytes(), kept)
        if not kept.with_suffix(".json").is_file():
            self._write(code, version, source, decision={})
        return ServedVersion(version=version, sha256=sha256)

    def _write(
        self,
        code: str,
        version: str,
        source: Literal["trained", "shipped", "adopted"],
        *,
        training: TrainingRun | None = None,
        decision: Mapping[str, Any],
    ) -> VersionRecord:
        weights = self.models.weights(code, version)
        record = VersionRecord(
            code=code,
            version=version,
            sha256=file_sha256(weights),
            created=_now(),
            source=source,
            training=training,
            decision=decision,
        )
        write_record(record, weights.parent)
        return record

    def _note_unless_noted(self, code: str, serving: Serving) -> None:
        noted = None
        for entry in self.audit.entries():
            if entry["what"] == audit.MODEL_SERVES and entry["about"].get("code") == code:
                noted = entry["about"].get("changed")
        if noted != serving.changed:
            self.audit.append(
                [_serves(code, serving, "the process that made this change ended before it could say so")]
            )

    def _prune(self, code: str, serving: Serving) -> None:
        """Remove the oldest weight files; records stay, and so does a file without one: a run may be writing it."""
        records = self.models.records(code)
        before = serving.previous.version if serving.previous else ""
        safe = {serving.champion.version, before, *(record.version for record in records[-1:])}
        weights = {record.version: self.models.weights(code, record.version) for record in records}
        there = [version for version, path in weights.items() if path.is_file()]
        excess = len(there) - max(self.keep, FEWEST_KEPT)
        for version in [version for version in there if version not in safe][: max(excess, 0)]:
            about = {"code": code, "version": version}
            event = AuditEvent(who=UPKEEP, what=audit.MODEL_PRUNED, why=f"{self.keep} versions are kept", about=about)
            self.audit.append([event])
            weights[version].unlink()


def _serves(code: str, serving: Serving, why: str = "") -> AuditEvent:
    champion = serving.champion
    about = {"code": code, "version": champion.version, "sha256": champion.sha256, "changed": serving.changed}
    return AuditEvent(who=serving.who, what=audit.MODEL_SERVES, why=why or serving.reason, about=about)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def person() -> str:
    """Login name of the person at the command line."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"
