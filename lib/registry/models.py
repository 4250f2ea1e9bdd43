"""Which weight file serves: what retraining put live if it is sound, else what served before, else what ships.

``shipped/<CODE>.safetensors``                   comes with the app, never written
``live/<CODE>/serving.json``                     the version that serves and the one before, with their hashes
``live/<CODE>/versions/<version>.safetensors``   weights of versions; ``.json`` beside them: what is known of each
``live/<CODE>/stats.json``                       the last training run, as clients show it
``live/<CODE>/champion.safetensors``             how earlier releases kept what serves; taken over at the next start

Only files are read here, so that serving needs nothing else: no database, no lock, no MLflow.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lib.domain.errors import BadWeightsError, UnknownModelError
from lib.imaging.volume import write_bytes
from lib.registry.figures import finite
from lib.registry.serving import read_serving
from lib.registry.versions import (
    RECORD,
    WEIGHTS,
    VersionRecord,
    checked_version,
    file_sha256,
    read_record,
    version_in,
)

logger = logging.getLogger(__name__)

RECOGNISER = "recogniser"
FINDER = "finder"
CLICKS = "clicks"
VERSIONS = "versions"
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """The weights of one installation.

    Attributes:
        shipped: Folder of the weights that come with the app.
        live: Folder that retraining writes to.
    """

    shipped: Path
    live: Path
    _sound: dict[tuple[Path, str], tuple[Stamp | None, bool]] = field(default_factory=dict, repr=False, compare=False)

    def find(self, code: str) -> Path | None:
        """Return the weight file that serves a sequence, or None: an untrained network is never served.

        A file that is missing, or whose hash is not the recorded one, is passed over with one line in the log.
        """
        return next((path for path, sha256 in self._choices(code) if self._is_sound(path, sha256)), None)

    def champion(self, code: str) -> Path:
        """Return the weight file that serves a sequence.

        Raises:
            UnknownModelError: When there is none yet.
        """
        path = self.find(code)
        if path is None:
            msg = f"there is no trained model for sequence {code!r} yet; label some of its images and train"
            raise UnknownModelError(msg)
        return path

    def folder(self, code: str) -> Path:
        """Where a sequence's versions and pointer lie."""
        return self.live / code

    def checkpoint(self, code: str) -> Path:
        """Where a run of a sequence keeps what it needs to go on after a kill."""
        return self.folder(code) / "run.checkpoint"

    def weights(self, code: str, version: str) -> Path:
        """Where a version's weights lie; a training run writes them there before anyone has judged them."""
        return self.folder(code) / VERSIONS / f"{checked_version(version)}{WEIGHTS}"

    def intact(self, record: VersionRecord) -> Path | None:
        """Where a version's weights lie, if they are there and those on record."""
        path = self.weights(record.code, record.version)
        return path if path.is_file() and self._is_sound(path, record.sha256) else None

    def earlier_release(self, code: str, name: str) -> Path:
        """Where earlier releases kept the ``champion`` and the ``previous`` weights."""
        return self.folder(code) / f"{name}{WEIGHTS}"

    def shipped_file(self, code: str) -> Path:
        """Where the weights that come with the app lie."""
        return self.shipped / f"{code}{WEIGHTS}"

    def codes(self) -> list[str]:
        """Sequences that something was kept for, sorted."""
        folders = self.live.iterdir() if self.live.is_dir() else ()
        names = (VERSIONS, f"champion{WEIGHTS}")
        return sorted(path.name for path in folders if any((path / name).exists() for name in names))

    def records(self, code: str) -> list[VersionRecord]:
        """What is known of every version of a sequence, oldest first; an unreadable record is left out, and said."""
        found = []
        for path in (self.folder(code) / VERSIONS).glob(f"*{RECORD}"):
            try:
                found.append(read_record(path))
            except BadWeightsError as error:
                logger.error("%s: it is left out", error)  # noqa: TRY400 - the file is at fault, not this code
        return sorted(found, key=lambda record: (record.created, record.version))

    def record(self, version: str) -> VersionRecord:
        """What is known of one version.

        Raises:
            BadRequestError: When the name cannot be one.
            UnknownModelError: When there is no such version.
            BadWeightsError: When its record cannot be read.
        """
        nowhere = Path(f"{checked_version(version)}{RECORD}")
        files = (self.weights(code, version).with_suffix(RECORD) for code in self.codes())
        known = next((path for path in files if path.is_file()), None)
        shipped = None if known else self._shipped(version)
        return shipped or read_record(known or nowhere)

    def _shipped(self, version: str) -> VersionRecord | None:
        """What is known of weights that come with the app, before they were taken into the registry."""
        files = self.shipped.glob(f"*{WEIGHTS}")
        path = next((path for path in files if version_in(path, path.stem) == version), None)
        if path is None:
            return None
        sha256 = file_sha256(path)
        return VersionRecord(code=path.stem, version=version, sha256=sha256, created="", source="shipped", decision={})

    def write_stats(self, code: str, stats: Mapping[str, object]) -> None:
        """Keep the last run's figures; a number that is not finite would break every reader, so none is kept."""
        write_bytes(json.dumps(finite(stats)).encode(), self.folder(code) / "stats.json")

    def stats(self, code: str) -> dict[str, object]:
        """Read the last run's figures; empty when there are none or they cannot be read."""
        try:
            stats = json.loads((self.folder(code) / "stats.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return stats if isinstance(stats, dict) else {}

    def _choices(self, code: str) -> Iterator[tuple[Path, str]]:
        """Files that may serve with the hash they must have (empty: not known), best first."""
        serving = read_serving(self.folder(code))
        if serving is None:
            yield self.earlier_release(code, "champion"), ""
        else:
            for served in filter(None, (serving.champion, serving.previous)):
                yield self.weights(code, served.version), served.sha256
        yield self.shipped_file(code), ""

    def _is_sound(self, path: Path, sha256: str) -> bool:
        """Whether a file holds what was recorded; looked at again only when the file changed."""
        if not sha256:
            return path.is_file()
        try:
            seen, found = stamp(path), ""
            known = self._sound.get((path, sha256))
            if known is None or known[0] != seen:
                found = file_sha256(path)
        except FileNotFoundError:
            seen, found, known = None, "", self._sound.get((path, sha256))
        if known is None or known[0] != seen:
            known = (seen, found == sha256)
            self._sound[path, sha256] = known
            if not known[1]:
                what = "are missing" if seen is None else "do not have the recorded SHA-256"
                logger.error("the weights of version %s %s: they do not serve, the next best do", path.stem, what)
        return known[1]


def stamp(path: Path) -> Stamp:
    """Identify a file's content cheaply: a replaced file differs in inode, time or size."""
    seen = os.stat(path)  # noqa: PTH116 - the same call for str paths from the framework
    return seen.st_ino, seen.st_mtime_ns, seen.st_size
