"""``python -m lib.web.relocate DIST BUILD``: make OHIF's prebuilt files servable under ``/ohif/``.

The files of the package ``@ohif/app`` expect to lie at a server's root. What is taken of them is moved to ``/ohif/``
and packed beforehand; what a reading room does not need (source maps, a runtime for networks in the browser, a service
worker that loads from elsewhere) is left out. It needs nothing but Python itself: it runs before anything is installed.
"""

from __future__ import annotations

import gzip
import re
import shutil
import sys
from pathlib import Path

ROOT = "/ohif/"
_HERE = b'__webpack_require__.p = "/";'
_THERE = f'__webpack_require__.p = "{ROOT}";'.encode()
_URL = re.compile(rb"url\((['\"]?)/(?!/)")
_ENTRY = re.compile(r"app\.bundle\.[0-9a-f]+\.js")
_LEFT_OUT = frozenset({"ort", "dicom-microscopy-viewer", "customizations"})
_TAKEN = frozenset({".js", ".css", ".wasm", ".woff2", ".svg", ".png", ".ico"})
_NOT_TAKEN = frozenset({
    "app-config.js", "sw.js", "init-service-worker.js", "google.js", "oidc-client.min.js", "polyfill.min.js",
    "es6-shim.min.js",
})  # fmt: skip
_PACKED = frozenset({".js", ".css", ".wasm", ".svg"})
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>renal-loop</title><link rel="icon" href="/favicon.ico">
<script src="{root}start.js"></script><script src="{root}app-config.js"></script>
<script defer src="{root}{entry}"></script><link rel="stylesheet" href="{root}app.bundle.css"></head>
<body><noscript>The viewer needs JavaScript.</noscript><div id="react-portal"></div><div id="root"></div></body></html>
"""


class ViewerFilesError(Exception):
    """The package is not built as expected."""


def relocate(dist: Path, build: Path) -> int:
    """Write the build, whole or not at all.

    Args:
        dist: Folder ``dist`` of the package.
        build: Folder to write; an older one is replaced.

    Returns:
        How many files were written.

    Raises:
        ViewerFilesError: When the package is not built as expected.
    """
    entries = sorted(path.name for path in dist.glob("*") if _ENTRY.fullmatch(path.name))
    if len(entries) != 1 or _HERE not in (dist / entries[0]).read_bytes():
        msg = f"{len(entries)} entries of the viewer that could be moved; expected one: run `npm ci` in lib/web/ohif"
        raise ViewerFilesError(msg)
    fresh = build.with_name(f"{build.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    taken = [path for path in sorted(dist.rglob("*")) if _is_taken(path, dist)]
    for path in taken:
        _write(_moved(path), fresh / path.relative_to(dist))
    _write(_PAGE.format(root=ROOT, entry=entries[0]).encode(), fresh / "index.html")
    shutil.rmtree(build, ignore_errors=True)
    fresh.rename(build)
    return len(taken) + 1


def _is_taken(path: Path, dist: Path) -> bool:
    relative = path.relative_to(dist)
    return (
        path.is_file()
        and path.suffix in _TAKEN
        and path.name not in _NOT_TAKEN
        and relative.parts[0] not in _LEFT_OUT
        and not path.name.startswith(("apple-touch", "android-chrome"))
    )


def _moved(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".js":
        return content.replace(_HERE, _THERE)
    if path.suffix == ".css":
        return _URL.sub(lambda found: b"url(" + found[1] + ROOT.encode(), content)
    return content


def _write(content: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if path.suffix in _PACKED:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content, 6, mtime=0))


if __name__ == "__main__":
    try:
        count = relocate(Path(sys.argv[1]), Path(sys.argv[2]))
    except ViewerFilesError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{count} files of the viewer\n")
