"""JSON objects that lie beside images and labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lib.imaging.volume import image_stem


def read_object(path: Path) -> dict[str, Any]:
    """Content of a JSON file that holds an object; empty when there is none that can be read."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def read_sidecar(image: Path) -> dict[str, Any]:
    """Content of the ``<image_id>.json`` beside an image, as dcm2niix writes it; empty when there is none."""
    return read_object(image.with_name(f"{image_stem(image)}.json"))
