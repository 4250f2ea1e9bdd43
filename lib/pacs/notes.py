"""What the server remembers of its exchange with a PACS, in files that survive it; UIDs lead to patients, so mode 600.

``studies.json``: which images each study had when it was last taken in. ``segmentations.json``: what became of every
SEG that was found; ``seg-series.json``: how many each series had. ``stored.json``: which version of each image's label
the PACS has.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from lib.imaging.volume import write_bytes

logger = logging.getLogger(__name__)


class Notes(MutableMapping[str, Any]):
    """A dictionary of JSON values in a file; a change is on the disk when the call returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = _read(path)

    def __getitem__(self, name: str) -> Any:
        return self._content[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if self._content.get(name) != value:
            self._replace({**self._content, name: value})

    def __delitem__(self, name: str) -> None:
        self._replace({key: value for key, value in self._content.items() if key != name})

    def update(self, changes: Mapping[str, Any]) -> None:  # type: ignore[override]
        """Change several values in one step."""
        if changes:
            self._replace({**self._content, **changes})

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    def _replace(self, content: Mapping[str, Any]) -> None:
        write_bytes(json.dumps(content).encode(), self._path, mode=0o600)
        self._content = dict(content)


def _read(path: Path) -> dict[str, Any]:
    """What is noted; a file that is not ours, or gone, is forgotten: everything is looked at once more then."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logger.warning("what is noted of the PACS cannot be read (%s): it is asked again", type(error).__name__)
        return {}
    return found if isinstance(found, dict) else {}
